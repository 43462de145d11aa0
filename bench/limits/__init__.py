"""What nobody should beat, as contestants: bare matrix products, arithmetic, memory."""
