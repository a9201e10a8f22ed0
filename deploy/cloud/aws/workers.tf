# Workers come from one group. They dial out, drain on a spot notice, and end
# their instance when they have had no work for worker_idle_limit.

data "aws_ssm_parameter" "worker_ami" {
  name = (var.worker_gpu
    ? "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
  : "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64")
}

resource "aws_launch_template" "worker" {
  name_prefix            = "${var.name}-worker-"
  image_id               = data.aws_ssm_parameter.worker_ami.value
  instance_type          = var.worker_instance_types[0]
  update_default_version = true
  user_data = base64encode(templatefile("${path.module}/templates/worker.yaml.tftpl", {
    region         = var.region
    image          = var.worker_image
    secrets_prefix = var.secrets_prefix
    secrets        = local.secrets.worker
    server         = "${var.server_private_ip}:${local.grpc_port}"
    gpu            = var.worker_gpu
    idle_limit     = var.worker_idle_limit
    labels         = merge(var.worker_labels, { market = var.worker_spot ? "spot" : "on-demand" })
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.machine["worker"].arn
  }
  vpc_security_group_ids = [aws_security_group.worker.id]
  metadata_options {
    http_tokens = "required"
    # The worker in its container (host network) asks for spot notices.
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = var.worker_disk_gib
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-worker" }
  }
}

resource "aws_autoscaling_group" "workers" {
  name                = local.worker_group_name
  min_size            = 0
  max_size            = var.worker_max
  desired_capacity    = min(var.worker_count, var.worker_max)
  vpc_zone_identifier = var.worker_subnet_ids
  capacity_rebalance  = var.worker_spot
  # Longer than a worker's drain.
  default_instance_warmup = 120

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 0
      on_demand_percentage_above_base_capacity = var.worker_spot ? 0 : 100
      spot_allocation_strategy                 = "price-capacity-optimized"
    }
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.worker.id
        version            = aws_launch_template.worker.latest_version
      }
      dynamic "override" {
        for_each = var.worker_instance_types
        content {
          instance_type = override.value
        }
      }
    }
  }
  lifecycle {
    # Idle workers and people change it.
    ignore_changes = [desired_capacity]
  }
}
