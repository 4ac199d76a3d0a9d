"""Tracking: what a study records on a tracking server, and the journal that loses nothing."""

from mmsr.tracking.base import DataUsed, RunState, Tracker, Unshipped
from mmsr.tracking.check import check_tracking, default_uri

__all__ = ["DataUsed", "RunState", "Tracker", "Unshipped", "check_tracking", "default_uri"]
