# Finds the files in `data` of a script, by the name of their cell and their path in it.

if [ -z "${RUNFILES_DIR-}" ] && [ -n "${TEST_SRCDIR-}" ]; then
  export RUNFILES_DIR=$TEST_SRCDIR
fi

# The absolute path of `cell/folder/file`; the workspace itself is called `_main`.
rlocation() {
  case $1 in
    /*) printf '%s\n' "$1" ;;
    "" | ../* | */.. | ./* | */./* | */../* | */. | *//*)
      echo "rlocation: this is not normal: $1" >&2
      return 1
      ;;
    *)
      [ -e "${RUNFILES_DIR:-/dev/null}/$1" ] || return 1
      printf '%s\n' "$RUNFILES_DIR/$1"
      ;;
  esac
}

# Lets programs that this one starts find the same files.
runfiles_export_envvars() {
  export RUNFILES_DIR JAVA_RUNFILES=${RUNFILES_DIR-}
}

# The name of the cell that the caller is in: nothing is the workspace itself.
runfiles_current_repository() {
  echo
}

export -f rlocation runfiles_export_envvars runfiles_current_repository
