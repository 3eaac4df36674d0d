#!/bin/bash
# compare.sh [EXAMPLE]: makes all forms of a package on this machine and on another one, and
# compares them byte by byte. As root, some two minutes.
#
# The other machine is emulated: another processor and kernel (Debian's, which apt-get brings), host
# name, day, time zone, umask and folder. It sees the files of this one read-only, so it has the same
# compilers, as two machines must whose outputs are to be the same.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
example=${1:-$root/examples/article}
work=$(mktemp -d /tmp/lamina-machines.XXXXXX)
trap 'rm -rf "$work"' EXIT

cd "$work"
package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2 }')
apt-get download -q "$package" >/dev/null 2>&1
dpkg-deb -x "$package"_*.deb kernel
version=$(ls kernel/lib/modules)

mkdir -p first/bin first/modules first/{proc,sys,dev,below,written,root} out
cp "$(command -v busybox)" first/bin/busybox
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci \
  netfs fscache 9pnet 9pnet_virtio 9p overlay loop squashfs; do
  find kernel -name "$module.ko" -exec cp {} first/modules \;
done
cat >first/init <<'INIT'
#!/bin/busybox sh
run=/bin/busybox
for kind in proc sysfs devtmpfs; do
  at=/${kind%fs}; [ $kind = devtmpfs ] && at=/dev; [ $kind = sysfs ] && at=/sys
  $run mount -t $kind $kind $at
done
# Each pass loads those whose needs the passes before have loaded.
for pass in 1 2 3 4; do
  for module in /modules/*.ko; do $run insmod $module 2>/dev/null; done
done
$run mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=512000,cache=loose root /below
$run mount -t tmpfs -o size=3g tmpfs /written
$run mkdir /written/upper /written/work
$run mount -t overlay -o lowerdir=/below,upperdir=/written/upper,workdir=/written/work overlay /root
for kind in proc sysfs devtmpfs; do
  at=/root/$kind; [ $kind = devtmpfs ] && at=/root/dev; [ $kind = sysfs ] && at=/root/sys
  $run mount -t $kind $kind $at
done
for folder in tmp run dev/shm; do $run mkdir -p /root/$folder; $run mount -t tmpfs tmpfs /root/$folder; done
$run mkdir /root/tmp/out
$run mount -t 9p -o trans=virtio,version=9p2000.L out /root/tmp/out
$run hostname another
exec $run switch_root -c /dev/ttyS0 /root /bin/bash /tmp/out/run
INIT
chmod +x first/init
(cd first && find . | busybox cpio -o -H newc 2>/dev/null | gzip) >first.gz
cat >out/run <<RUN
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C TZ=Asia/Tokyo
umask 077
uname -a
date
bash "$root/tests/machines/digests.sh" "$root/.venv/bin/lamina" "$example" /srv/another/place \
  >/tmp/out/there 2>/tmp/out/errors
sync
echo o >/proc/sysrq-trigger
sleep 60
RUN

bash "$root/tests/machines/digests.sh" "$root/.venv/bin/lamina" "$example" "$work/place" >here
timeout 900 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -M q35 -smp 2 -m 5000 \
  -nographic -no-reboot -net none -rtc base=2027-03-01T12:00:00 \
  -kernel "kernel/boot/vmlinuz-$version" -initrd first.gz -append 'console=ttyS0 quiet panic=-1' \
  -virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
  -virtfs "local,path=$work/out,mount_tag=out,security_model=none" </dev/null >console 2>&1 ||
  { tail -n 40 console >&2; exit 1; }
grep -a -m 1 -o 'Linux another.*' console || { cat console >&2; exit 1; }
[ -s out/there ] || { cat out/errors console >&2; exit 1; }
cat out/errors
diff here out/there && echo "$(wc -l <here) digests, all the same"
