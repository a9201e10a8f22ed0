# Each machine reads its own secrets and nothing else; a worker may also end
# itself.

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}

locals {
  secrets = {
    server = ["ca.crt", "server.crt", "server.key", "bootstrap-token.hash"]
    worker = ["ca.crt", "worker.crt", "worker.key", "join.token"]
  }
  parameter_arn = "arn:${data.aws_partition.here.partition}:ssm:${var.region}:${data.aws_caller_identity.here.account_id}:parameter${var.secrets_prefix}"
  # Written out, since the group's own name would make a circle.
  worker_group_name = "${var.name}-workers"
  worker_group_arn  = "arn:${data.aws_partition.here.partition}:autoscaling:${var.region}:${data.aws_caller_identity.here.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.worker_group_name}"
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "machine" {
  for_each = local.secrets
  statement {
    sid       = "Secrets"
    actions   = ["ssm:GetParameter"]
    resources = [for secret in each.value : "${local.parameter_arn}/${secret}"]
  }
  dynamic "statement" {
    for_each = each.key == "worker" ? [1] : []
    content {
      sid       = "LeaveWhenIdle"
      actions   = ["autoscaling:TerminateInstanceInAutoScalingGroup"]
      resources = [local.worker_group_arn]
    }
  }
}

resource "aws_iam_role" "machine" {
  for_each           = local.secrets
  name_prefix        = "${var.name}-${each.key}-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "machine" {
  for_each = local.secrets
  name     = "trainyard"
  role     = aws_iam_role.machine[each.key].id
  policy   = data.aws_iam_policy_document.machine[each.key].json
}

resource "aws_iam_instance_profile" "machine" {
  for_each    = local.secrets
  name_prefix = "${var.name}-${each.key}-"
  role        = aws_iam_role.machine[each.key].name
}
