"""`package_info`, as it is built in: accepted, and nothing is done with it."""

package_info = native.package_info
