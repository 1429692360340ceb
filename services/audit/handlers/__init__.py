"""What the audit service does besides following facts and answering."""
