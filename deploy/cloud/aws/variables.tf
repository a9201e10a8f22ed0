variable "name" {
  description = "Names everything that is made; several installations need different ones."
  type        = string
  default     = "trainyard"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,23}$", var.name))
    error_message = "name must be 1 to 24 of a-z, 0-9 and -, beginning with a letter."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "tags" {
  description = "Further tags for everything that is made."
  type        = map(string)
  default     = {}
}

# ---- network

variable "vpc_id" {
  description = "The VPC to live in."
  type        = string
}

variable "server_subnet_id" {
  description = "Subnet of the server."
  type        = string
}

variable "worker_subnet_ids" {
  description = "Subnets of the workers; several zones find spot capacity more often."
  type        = list(string)
  validation {
    condition     = length(var.worker_subnet_ids) > 0
    error_message = "worker_subnet_ids must name at least one subnet."
  }
}

variable "server_private_ip" {
  description = "Fixed address of the server in its subnet; the server's certificate must name it."
  type        = string
  validation {
    condition     = can(cidrnetmask("${var.server_private_ip}/32"))
    error_message = "server_private_ip must be an IPv4 address."
  }
}

variable "client_cidrs" {
  description = "Networks from which trainctl and Prometheus reach the server. The world is refused."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.client_cidrs : can(cidrnetmask(cidr)) && !endswith(cidr, "/0")])
    error_message = "client_cidrs must be IPv4 networks such as 10.0.0.0/16, and not the whole world."
  }
}

# ---- server

variable "server_image" {
  description = "Container image of the server."
  type        = string
}

variable "server_instance_type" {
  description = "The server needs little: 2 cores hold a million queued jobs."
  type        = string
  default     = "t3.medium"
}

variable "server_volume_gib" {
  description = "Size of the volume for jobs, telemetry and artifacts."
  type        = number
  default     = 100
  validation {
    condition     = var.server_volume_gib >= 8 && var.server_volume_gib <= 16384
    error_message = "server_volume_gib must be from 8 to 16384."
  }
}

variable "secrets_prefix" {
  description = "SSM parameters PREFIX/{ca.crt,server.crt,server.key,bootstrap-token.hash,worker.crt,worker.key,join.token}; docs/deploy.md says how to make them."
  type        = string
  default     = "/trainyard"
  validation {
    condition     = can(regex("^/[A-Za-z0-9_./-]+[A-Za-z0-9]$", var.secrets_prefix))
    error_message = "secrets_prefix must be a path such as /trainyard."
  }
}

# ---- workers

variable "worker_image" {
  description = "Container image of the worker; for GPUs one that was built on a CUDA base."
  type        = string
}

variable "worker_instance_types" {
  description = "Instance types, best first; spot takes whichever is to be had."
  type        = list(string)
  default     = ["g4dn.xlarge"]
  validation {
    condition     = length(var.worker_instance_types) >= 1 && length(var.worker_instance_types) <= 40
    error_message = "worker_instance_types must name 1 to 40 types."
  }
}

variable "worker_gpu" {
  description = "Whether the workers have GPUs."
  type        = bool
  default     = true
}

variable "worker_count" {
  description = "Workers at the beginning; idle ones leave."
  type        = number
  default     = 1
}

variable "worker_max" {
  description = "Most workers."
  type        = number
  default     = 4
  validation {
    condition     = var.worker_max >= 0 && var.worker_max <= 1000
    error_message = "worker_max must be from 0 to 1000."
  }
}

variable "worker_spot" {
  description = "Spot instances; jobs checkpoint and move on when one is taken away."
  type        = bool
  default     = true
}

variable "worker_idle_limit" {
  description = "A worker without work for so long terminates its instance; empty: never."
  type        = string
  default     = "15m"
  validation {
    condition     = can(regex("^([1-9][0-9]*[smh])?$", var.worker_idle_limit))
    error_message = "worker_idle_limit must be such as 15m, or empty."
  }
}

variable "worker_disk_gib" {
  description = "Root volume of a worker: images, cached inputs, checkpoints under way."
  type        = number
  default     = 100
}

variable "worker_labels" {
  description = "Labels that jobs can ask for."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for key, value in var.worker_labels : can(regex("^[A-Za-z0-9_./-]{1,63}$", key)) && can(regex("^[A-Za-z0-9_./-]{0,63}$", value))])
    error_message = "worker_labels must be of letters, digits, _, ., / and -, at most 63 each."
  }
}
