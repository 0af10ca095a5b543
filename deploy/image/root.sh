#!/bin/sh
# Lays out the root of the container image: the binary, what it is linked with if anything, root certificates, and one user.
# The Dockerfile runs it in the stage that compiles; `make image-root` runs it here, and says how large the image is.
#
# Usage: deploy/image/root.sh BINARY DIRECTORY
# DIRECTORY must not exist. Needs glibc's ldd, and the root certificates of Debian's ca-certificates.
set -eu

binary=$1
root=$2
certificates=/etc/ssl/certs/ca-certificates.crt

mkdir "$root"
install -D -m 0755 "$binary" "$root/usr/local/bin/plimsoll"
# Names and paths are those that the binary asks for; a link is copied as what it leads to.
linked=$(ldd "$binary" 2>&1) || case $linked in
*'not a dynamic executable'*) ;;
*)
	echo "$linked" >&2
	exit 1
	;;
esac
echo "$linked" | awk '$2 == "=>" {print $3} $1 ~ /^\// {print $1}' | while read -r library; do
	install -D -m 0755 "$library" "$root$library"
done
install -D -m 0644 "$certificates" "$root$certificates"
# libssh2 and libgit2 ask for the home of who runs them.
mkdir -p "$root/etc" "$root/home/plimsoll"
echo 'plimsoll:x:65532:65532::/home/plimsoll:/sbin/nologin' >"$root/etc/passwd"
echo 'plimsoll:x:65532:' >"$root/etc/group"
# Names of hosts: the file that the kubelet writes, then DNS.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
# A layer is the same for the same files, whenever it was made.
find "$root" -exec touch --no-dereference --date=@0 {} +
