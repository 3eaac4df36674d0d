"""`DebugPackageInfo`, which no rule gives."""

DebugPackageInfo = provider(fields = ["target_label", "stripped_file", "unstripped_file", "dwp_file"])
