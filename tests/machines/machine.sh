# machine.sh, to be read by others: `boot FOLDER SCRIPT` runs a script of bash as root on another
# machine, of this one's files. What it leaves in /tmp/out there is in FOLDER/out here. As root, with
# qemu-system-x86 and busybox-static.
#
# That machine is emulated: another processor and kernel (Debian's, which apt-get brings), host name
# and day. It sees the files of this one read-only, and writes to memory. Control groups are version 2
# there, with all controllers, and nothing else of a usual start of a machine has run.

boot() {
  local work=$1 script=$2 package version module modules
  cd "$work"
  mkdir -p out
  package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2 }')
  apt-get download -q "$package" >/dev/null 2>&1
  dpkg-deb -x "$package"_*.deb kernel
  version=$(ls kernel/lib/modules)

  mkdir -p first/bin first/modules first/{proc,sys,dev,below,written,root}
  cp "$(command -v busybox)" first/bin/busybox
  modules='virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci
    netfs fscache 9pnet 9pnet_virtio 9p overlay loop squashfs erofs fuse bfq tun'
  for module in $modules; do
    find kernel -name "$module.ko" -exec cp {} first/modules \;
  done
  _init >first/init
  chmod +x first/init
  (cd first && find . | busybox cpio -o -H newc 2>/dev/null | gzip) >first.gz
  cp "$script" out/run

  timeout "${PATIENCE:-900}" qemu-system-x86_64 \
    -accel tcg,thread=multi -cpu max -M q35 -smp 2 -m 5000 \
    -nographic -no-reboot -net none -rtc base=2027-03-01T12:00:00 \
    -kernel "kernel/boot/vmlinuz-$version" -initrd first.gz -append 'console=ttyS0 quiet panic=-1' \
    -virtfs "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap" \
    -virtfs "local,path=$work/out,mount_tag=out,security_model=none" </dev/null >console 2>&1 ||
    { tail -n 40 console >&2; exit 1; }
  grep -a -m 1 -o 'Linux another.*' console || { cat console >&2; exit 1; }
}

# What the kernel starts first there: it mounts all, and hands over to the script.
_init() {
  cat <<'INIT'
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
for folder in tmp run dev/shm dev/pts; do $run mkdir -p /root/$folder; done
for folder in tmp run dev/shm; do $run mount -t tmpfs tmpfs /root/$folder; done
$run mount -t devpts -o ptmxmode=0666 devpts /root/dev/pts
$run mount -t cgroup2 -o nsdelegate cgroup2 /root/sys/fs/cgroup
for one in $($run cat /root/sys/fs/cgroup/cgroup.controllers); do
  echo +$one >/root/sys/fs/cgroup/cgroup.subtree_control
done
$run chmod 1777 /root/tmp /root/dev/shm
for device in fuse net/tun; do $run chmod 666 /root/dev/$device; done
$run mkdir /root/tmp/out
$run mount -t 9p -o trans=virtio,version=9p2000.L out /root/tmp/out
$run hostname another
$run ip link set lo up
cat >/root/tmp/start <<'START'
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LC_ALL=C
uname -a
date
bash /tmp/out/run
sync
echo o >/proc/sysrq-trigger
sleep 60
START
exec $run switch_root -c /dev/ttyS0 /root /bin/bash /tmp/start
INIT
}
