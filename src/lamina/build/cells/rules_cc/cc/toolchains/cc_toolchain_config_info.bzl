"""`CcToolchainConfigInfo`, which no rule gives."""

CcToolchainConfigInfo = provider()
