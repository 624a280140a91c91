"""What an operator of NATS needs: roles and their rights, server configuration, the stream, backups."""
