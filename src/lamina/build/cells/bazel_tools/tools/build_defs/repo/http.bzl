"""Archives and files of the network."""

load(":absent.bzl", "absent")

http_archive = absent("http_archive")
http_file = absent("http_file")
http_jar = absent("http_jar")
