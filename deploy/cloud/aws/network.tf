# Who may reach what: clients and workers the server's port, nobody a worker.

locals {
  grpc_port    = 7070
  metrics_port = 9464
}

resource "aws_security_group" "server" {
  name_prefix = "${var.name}-server-"
  description = "Trainyard server"
  vpc_id      = var.vpc_id
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "worker" {
  name_prefix = "${var.name}-worker-"
  description = "Trainyard workers: they dial out"
  vpc_id      = var.vpc_id
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "workers_to_server" {
  security_group_id            = aws_security_group.server.id
  description                  = "gRPC of the workers"
  referenced_security_group_id = aws_security_group.worker.id
  ip_protocol                  = "tcp"
  from_port                    = local.grpc_port
  to_port                      = local.grpc_port
}

resource "aws_vpc_security_group_ingress_rule" "clients_grpc" {
  for_each          = toset(var.client_cidrs)
  security_group_id = aws_security_group.server.id
  description       = "gRPC of clients"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.grpc_port
  to_port           = local.grpc_port
}

resource "aws_vpc_security_group_ingress_rule" "clients_metrics" {
  for_each          = toset(var.client_cidrs)
  security_group_id = aws_security_group.server.id
  description       = "Prometheus"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = local.metrics_port
  to_port           = local.metrics_port
}

resource "aws_vpc_security_group_egress_rule" "out" {
  for_each          = { server = aws_security_group.server.id, worker = aws_security_group.worker.id }
  security_group_id = each.value
  description       = "Images, secrets, the server"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}
