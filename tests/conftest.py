"""What all tests share: properties are tried without a clock, and leave no files behind."""

from hypothesis import settings

settings.register_profile("lamina", deadline=None, database=None)
settings.load_profile("lamina")
