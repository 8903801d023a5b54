# The first process of the machine: run as root of namespaces of its own (user, mount, pid, net, uts), it puts the file
# system together and lets the kernel start aarch64 programs by the emulator, in these namespaces only. Says its process
# id, as it is outside, and lives until its input ends; all other processes of the machine end with it.
set -eu
root=$1 emulator=$2 home=$3 tmp=$4
read -r pid _ </proc/self/stat

magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
# P: programs see the name that they were started by. F: the emulator is opened now, so it need not be in the machine.
printf '%s' ":aarch64:M::$magic:$mask:$emulator:PF" >/proc/sys/fs/binfmt_misc/register

mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
# Of /sys only the CPUs' numbers, which libraries count them by: sensors and caches are those of this machine, no Arm's.
mount -t tmpfs -o mode=755 tmpfs "$root/sys"
mkdir -p "$root/sys/devices/system/cpu"
for name in possible present online; do cat "/sys/devices/system/cpu/$name" >"$root/sys/devices/system/cpu/$name"; done
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for name in null zero full random urandom tty; do
  : >"$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mount --bind /dev/pts "$root/dev/pts"
chmod 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for name in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${name#*:}" "$root/dev/${name%:*}"; done
mount --bind "$home" "$root/home/arm"
mount --bind "$tmp" "$root/tmp"
# What is cached stays as it was made.
mount -o remount,bind,ro "$root"
hostname arm

echo "$pid"
# Processes whose parents are gone are nobody's to wait for: ignored, they vanish as they end.
trap '' CHLD
exec cat >/dev/null
