# shellcheck shell=bash
# Sourced by scripts/demo, scripts/test and .ci/run: sets up an environment with napari-cryoet, and a display.
#
#   set_up GROUP      install system libraries, .venv, the package and this dependency group; then use $python
#   use_wheel         install a wheel of the package into .venv instead of the checkout
#   need_display      start a virtual display if the machine has none
#
# Compatible with bash 3.2 (macOS). Set PYTHON=... to choose the interpreter.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python

# Options of pytest: two processes more than cores, since window tests spend much of their time waiting. Files aren't
# split between processes, because their tests share fixtures; tests/conftest.py determines the order.
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# shellcheck disable=SC2034  # used by scripts/test and .ci/run
in_parallel=(-n "$((cores < 4 ? cores + 2 : 5))" --dist loadfile --no-loadscope-reorder)

# If it were set, every test process, and the demo at each start, would recompile the package.
unset PYTHONDONTWRITEBYTECODE

say() { printf 'napari-cryoet: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# ---- system libraries -------------------------------------------------------------------------------------------

# Run-time libraries of Qt and OpenGL that a minimal Debian or Ubuntu lacks: the file, then its package.
qt_libraries='
libEGL.so.1             libegl1
libGL.so.1              libgl1
libOpenGL.so.0          libopengl0
libX11-xcb.so.1         libx11-xcb1
libdbus-1.so.3          libdbus-1-3
libfontconfig.so.1      libfontconfig1
libglib-2.0.so.0        libglib2.0-0
libxcb-cursor.so.0      libxcb-cursor0
libxcb-icccm.so.4       libxcb-icccm4
libxcb-image.so.0       libxcb-image0
libxcb-keysyms.so.1     libxcb-keysyms1
libxcb-randr.so.0       libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0       libxcb-shape0
libxcb-xinerama.so.0    libxcb-xinerama0
libxcb-xkb.so.1         libxcb-xkb1
libxkbcommon-x11.so.0   libxkbcommon-x11-0
'

missing_packages() {
  local present library package
  present=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null)
  while read -r library package; do
    [ -z "$library" ] || case $present in *"$library "*) ;; *) echo "$package" ;; esac
  done <<< "$qt_libraries"
  [ -n "$(find -L /usr/share/fonts -name '*.[to]tf' -print 2>/dev/null | head -n 1)" ] || echo fonts-dejavu-core
  has_display || command -v Xvfb >/dev/null || echo xvfb
  has_display || command -v xauth >/dev/null || echo xauth  # xvfb-run needs it, and xvfb may not bring it
}

# Installs Debian packages as root; tells other users which command to run.
install_packages() {
  local log
  if [ "$(id -u)" != 0 ]; then
    fail "a few system libraries are missing. Please run this, then start again:
  sudo apt-get update && sudo apt-get install --no-install-recommends --yes $*"
  fi
  say "installing system libraries: $*"
  log=$(mktemp)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --no-install-recommends --yes "$@"; } \
    >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    fail "these system libraries could not be installed (see the error above): $*"
  fi
  rm -f "$log"
}

need_system_libraries() {
  local packages
  [ "$(uname)" = Linux ] || return 0
  packages=$(missing_packages)
  [ -n "$packages" ] || return 0
  if command -v apt-get >/dev/null; then
    # shellcheck disable=SC2086  # a list of package names
    install_packages $packages
  else
    say "this system lacks libraries that Qt may need; their Debian packages are: ${packages//$'\n'/ }"
  fi
}

# ---- Python -------------------------------------------------------------------------------------------------------

is_suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
makes_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Prints the first Python that is new enough, preferably one that can create virtual environments.
find_python() {
  local candidate fallback=
  if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.13 python3.12 python3.14 python3.11 python3; fi
  for candidate in "$@"; do
    is_suitable "$candidate" || continue
    if makes_environments "$candidate"; then echo "$candidate" && return; fi
    fallback=${fallback:-$candidate}
  done
  echo "$fallback"
}

make_environment() {
  local base version
  base=$(find_python)
  [ -n "$base" ] || fail "Python 3.11 or newer is needed${PYTHON:+, and $PYTHON is not}. Install it, or specify one: PYTHON=/path/to/python3.12 $0"
  if ! makes_environments "$base"; then
    version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    command -v apt-get >/dev/null || fail "$base lacks the modules 'venv' and 'ensurepip', which are needed to create virtual environments; install them or specify another Python: PYTHON=... $0"
    install_packages "python$version-venv"
  fi
  if [ -e "$venv" ] && [ ! -e "$venv/.made-by-scripts" ]; then
    fail "$venv wasn't created by these scripts, so it is left unchanged. Move it away, then start again."
  fi
  say "creating a virtual environment in .venv ($("$base" --version))"
  mkdir -p "$venv" && touch "$venv/.made-by-scripts"
  "$base" -m venv --clear "$venv" || fail "the virtual environment in .venv could not be created (see the error above)."
  touch "$venv/.made-by-scripts"  # --clear removed it
}

# A hash of everything that the installation depends on.
setup_key() {
  "$python" - "$1" "$root" <<'PYTHON'
import hashlib, pathlib, sys
group, root = sys.argv[1:]
digest = hashlib.sha256(repr((group, root, sys.version)).encode())
for name in ("pyproject.toml", "constraints.txt"):
    digest.update(pathlib.Path(root, name).read_bytes())
print(digest.hexdigest())
PYTHON
}

is_usable() { is_suitable "$python" && "$python" -c 'import pip' >/dev/null 2>&1; }

# Whether the environment has the version of PYTHON, if that is set.
is_wanted() {
  local code='import sys; print(sys.version)'
  [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -c "$code" 2>&1)" = "$("$python" -c "$code" 2>&1)" ]
}

# Whether pip has index or proxy settings. Then only pip may download packages.
has_pip_settings() {
  "$python" -m pip config list 2>/dev/null | grep -E "^[^=]*(index|proxy|trusted-host|client-cert)" >/dev/null
}

# uv takes a quarter of pip's time, because it works in parallel.
install_with_uv() {
  if has_pip_settings; then return 1; fi
  "$python" -m pip install "${quietly[@]}" --only-binary :all: --constraint "$root/constraints.txt" uv \
    && "$venv/bin/uv" pip install --quiet --python "$python" "${requirements[@]}"
}

# The pip that comes with Python 3.11 to 3.13 doesn't know groups yet.
install_with_pip() {
  "$python" -m pip install "${quietly[@]}" --constraint "$root/constraints.txt" --upgrade pip \
    && "$python" -m pip install "${quietly[@]}" "${requirements[@]}"
}

install_package() {
  local log quietly requirements
  quietly=(--quiet --disable-pip-version-check --no-input)
  requirements=(--constraint "$root/constraints.txt" --group "$root/pyproject.toml:$1" --editable "${root}[all]")
  say "installing napari-cryoet and its dependencies into .venv; the first time takes a minute or more"
  log=$(mktemp)
  if install_with_uv >"$log" 2>&1 </dev/null || install_with_pip >"$log" 2>&1 </dev/null; then
    rm -f "$log"
    return
  fi
  tail -n 30 "$log" >&2
  if grep -qiE 'NewConnectionError|NameResolutionError|Max retries|Read timed out|ConnectTimeout|SSLError|ProxyError' "$log"; then
    rm -f "$log"
    fail "Python's package index can't be reached. Check the network, and pip's proxy or index settings, then start again."
  fi
  rm -f "$log"
  fail "the installation failed (see the error above)."
}

set_up() {
  local group=$1 stamp=$venv/.set-up-$1
  if [ -e "$stamp" ] && is_wanted && [ "$(cat "$stamp")" = "$(setup_key "$group" 2>/dev/null)" ]; then return; fi
  need_system_libraries
  { is_usable && is_wanted; } || make_environment
  install_package "$group"
  setup_key "$group" > "$stamp"
}

# Builds the wheel from the source distribution, like a release. The next set_up reinstalls the checkout.
use_wheel() {
  local dist
  dist=$(mktemp -d)
  "$python" -m build --outdir "$dist" "$root" >"$dist/log" 2>&1 || { cat "$dist/log" >&2; fail "the package can't be built."; }
  "$python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$dist"/*.whl
  rm -rf "$dist" "$venv"/.set-up-*
}

# ---- display ------------------------------------------------------------------------------------------------------

has_display() { [ "$(uname)" != Linux ] || [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }

# Starts a virtual display that ends with this script. The X server chooses a free number.
need_display() {
  local number_file tries=0
  if has_display; then return; fi
  command -v Xvfb >/dev/null || need_system_libraries
  number_file=$(mktemp)
  Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp 3>"$number_file" >/dev/null 2>&1 </dev/null &
  xvfb=$!
  trap 'kill "$xvfb" 2>/dev/null; wait "$xvfb" 2>/dev/null' EXIT
  until [ -s "$number_file" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$xvfb" 2>/dev/null; then
      rm -f "$number_file"
      fail "this machine has no display, and a virtual one (Xvfb) did not start."
    fi
    sleep 0.1
  done
  DISPLAY=":$(cat "$number_file")"
  export DISPLAY
  rm -f "$number_file"
}
