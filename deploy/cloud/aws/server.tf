# One server: the embedded store has a single writer. Its state is on a volume
# of its own, which a new instance takes over.

data "aws_ssm_parameter" "server_ami" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

data "aws_subnet" "server" {
  id = var.server_subnet_id
}

locals {
  state_device = "/dev/sdf"
}

resource "aws_instance" "server" {
  ami                         = data.aws_ssm_parameter.server_ami.value
  instance_type               = var.server_instance_type
  subnet_id                   = var.server_subnet_id
  private_ip                  = var.server_private_ip
  vpc_security_group_ids      = [aws_security_group.server.id]
  iam_instance_profile        = aws_iam_instance_profile.machine["server"].name
  user_data_replace_on_change = true
  user_data = templatefile("${path.module}/templates/server.yaml.tftpl", {
    region         = var.region
    image          = var.server_image
    secrets_prefix = var.secrets_prefix
    secrets        = local.secrets.server
    volume_serial  = replace(aws_ebs_volume.state.id, "-", "")
    grpc_port      = local.grpc_port
    metrics_port   = local.metrics_port
  })

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    encrypted   = true
    volume_type = "gp3"
  }
  lifecycle {
    # A newer AMI is no reason to replace the server; taint it to take one.
    ignore_changes = [ami]
  }
  tags = { Name = "${var.name}-server" }
}

resource "aws_ebs_volume" "state" {
  availability_zone = data.aws_subnet.server.availability_zone
  size              = var.server_volume_gib
  type              = "gp3"
  encrypted         = true
  # Jobs and artifacts outlive terraform destroy.
  final_snapshot = true
  tags           = { Name = "${var.name}-state" }
}

resource "aws_volume_attachment" "state" {
  device_name = local.state_device
  volume_id   = aws_ebs_volume.state.id
  instance_id = aws_instance.server.id
  # The server stops first, so that its files are whole.
  stop_instance_before_detaching = true
}
