"""`cc_common`, as far as headers go."""

cc_common = cc_common
