"""Files of nets and of checkpoints."""

from __future__ import annotations

from .saved_net import save as save
