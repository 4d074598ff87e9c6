#!/bin/bash -e
# vtun, where the release has none: bookworm's own package, taken by apt with Debian's signature.
# trixie has the libraries that it was built for (ADR 30).

on_chroot <<EOF
if apt-cache show vtun >/dev/null 2>&1; then
    exit 0
fi
# Sources and lists of its own, below /tmp, which is not the root's: nothing else comes from there.
mkdir -p /tmp/vtun/lists/partial
cd /tmp/vtun
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=\${keyring}] ${TUNDEV_MIRROR} bookworm main" >sources.list
from="--option Dir::Etc::SourceList=/tmp/vtun/sources.list --option Dir::Etc::SourceParts=-
    --option Dir::State::Lists=/tmp/vtun/lists --option Acquire::Retries=3"
apt-get \${from} update
apt-get \${from} download vtun
apt-get --option Acquire::Retries=3 install --no-install-recommends -y ./vtun_*.deb
EOF
