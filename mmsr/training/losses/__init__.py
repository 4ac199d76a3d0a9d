"""Losses: how a batch of user vectors is compared with items."""
