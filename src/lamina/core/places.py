"""Places that every container has; nothing dear is imported here."""

from __future__ import annotations

OWN = ("dev", "proc", "run", "sys", "tmp")  # of the container, not of the machine
INIT = "/dev/init"  # the program that reaps and forwards signals
ROOT, WRITTEN = "rootfs", "package"  # folders of a bundle: the root; a package that is written to
CONFIG, RECORD, LOG, LOCK = "config.json", "record.json", "log", "lock"  # files of a bundle
