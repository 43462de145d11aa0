"""Hooks of the fit loop: whatever looks at a fit, or ends it, between two kernel calls."""
