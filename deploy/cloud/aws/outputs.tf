output "server" {
  description = "What trainctl and further workers connect to."
  value       = "${var.server_private_ip}:${local.grpc_port}"
}

output "metrics" {
  description = "What Prometheus scrapes."
  value       = "https://${var.server_private_ip}:${local.metrics_port}/metrics"
}

output "worker_group" {
  description = "To change the number of workers: aws autoscaling set-desired-capacity --auto-scaling-group-name THIS --desired-capacity N"
  value       = aws_autoscaling_group.workers.name
}

output "state_volume" {
  description = "The volume with jobs and artifacts."
  value       = aws_ebs_volume.state.id
}
