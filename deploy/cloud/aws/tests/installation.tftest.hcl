# terraform test: what would be made, with a provider that asks nobody.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a" }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { value = "ami-0123456789abcdef0" }
  }
  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/trainyard" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
}

variables {
  region            = "eu-central-1"
  vpc_id            = "vpc-1"
  server_subnet_id  = "subnet-1"
  worker_subnet_ids = ["subnet-1", "subnet-2"]
  server_private_ip = "10.0.0.10"
  client_cidrs      = ["10.0.0.0/16"]
  server_image      = "example.org/trainyard/server:0.1.0"
  worker_image      = "example.org/trainyard/worker:0.1.0-cuda"
}

run "spot_workers_by_default" {
  assert {
    condition     = aws_autoscaling_group.workers.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 0
    error_message = "workers are to be spot instances"
  }
  assert {
    condition     = aws_autoscaling_group.workers.min_size == 0
    error_message = "idle workers must be able to leave"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.worker.user_data), "--cloud aws --idle-limit 15m")
    error_message = "the worker must heed spot notices and leave when idle"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.worker.user_data), "--gpus all")
    error_message = "the worker's container needs the GPUs"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.worker.user_data), "--server 10.0.0.10:7070")
    error_message = "the worker must know the server"
  }
  assert {
    condition     = aws_instance.server.metadata_options[0].http_tokens == "required" && aws_launch_template.worker.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv2 must be required"
  }
  assert {
    condition     = aws_ebs_volume.state.encrypted && aws_ebs_volume.state.final_snapshot
    error_message = "the state must be encrypted and outlive a destroy"
  }
  assert {
    condition     = !strcontains(aws_instance.server.user_data, "--insecure") && strcontains(aws_instance.server.user_data, "--tls-client-ca")
    error_message = "the server must be reached by TLS alone"
  }
  assert {
    condition     = output.server == "10.0.0.10:7070"
    error_message = "the output must name the server"
  }
}

run "on_demand_cpu_workers_that_stay" {
  variables {
    worker_spot           = false
    worker_gpu            = false
    worker_instance_types = ["c7i.4xlarge", "c7a.4xlarge"]
    worker_idle_limit     = ""
    worker_labels         = { team = "birds" }
  }
  assert {
    condition     = aws_autoscaling_group.workers.mixed_instances_policy[0].instances_distribution[0].on_demand_percentage_above_base_capacity == 100
    error_message = "workers are to be on-demand instances"
  }
  assert {
    condition     = length(aws_autoscaling_group.workers.mixed_instances_policy[0].launch_template[0].override) == 2
    error_message = "both instance types must be there"
  }
  assert {
    condition     = !strcontains(base64decode(aws_launch_template.worker.user_data), "--gpus") && !strcontains(base64decode(aws_launch_template.worker.user_data), "--idle-limit")
    error_message = "no GPUs, no idle limit"
  }
  assert {
    condition     = strcontains(base64decode(aws_launch_template.worker.user_data), "--label team=birds")
    error_message = "labels must reach the worker"
  }
}

run "refuses_the_whole_world" {
  command = plan
  variables {
    client_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.client_cidrs]
}

run "refuses_wrong_values" {
  command = plan
  variables {
    name              = "Trainyard!"
    server_private_ip = "trainyard.lab"
    server_volume_gib = 1
    worker_idle_limit = "15 minutes"
    worker_labels     = { "a b" = "$(reboot)" }
    secrets_prefix    = "trainyard; reboot"
  }
  expect_failures = [var.name, var.server_private_ip, var.server_volume_gib, var.worker_idle_limit, var.worker_labels, var.secrets_prefix]
}
