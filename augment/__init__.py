"""Batched augmentation on the batch's device: geometry, intensity and the weak and strong views."""
