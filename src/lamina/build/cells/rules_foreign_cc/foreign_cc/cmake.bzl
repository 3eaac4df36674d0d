"""`cmake`, as it is built in."""

cmake = native.cmake
