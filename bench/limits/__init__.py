"""What nobody should beat, as competitors: bare matrix products, arithmetic, memory."""
