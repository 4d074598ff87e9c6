#!/bin/bash -e
# As much of pi-gen as our stages and image/build.py use, so that tests build images without it: the
# configuration, the order of a stage's steps, the environment and functions of a step, what is logged.
# What pi-gen copies for each stage, a whole root, is here laid over the stage before (overlayfs), in the
# build's own mount namespace: what a stage itself writes is in its folder `upper`.

log() {
    date +"[%T] $*"
}

on_chroot() {
    local where="${ROOTFS_DIR}"
    mountpoint --quiet "${where}/proc" || mount -t proc proc "${where}/proc"
    mountpoint --quiet "${where}/dev" || mount --bind /dev "${where}/dev"
    mountpoint --quiet "${where}/sys" || mount --bind /sys "${where}/sys"
    mountpoint --quiet "${where}/run" || mount -t tmpfs tmpfs "${where}/run"
    mountpoint --quiet "${where}/tmp" || mount -t tmpfs tmpfs "${where}/tmp"
    chroot "${where}" /bin/bash -e
}

unmount() {
    local mounted
    for mounted in proc dev sys run tmp; do
        if mountpoint --quiet "${ROOTFS_DIR}/${mounted}"; then
            umount "${ROOTFS_DIR}/${mounted}"
        fi
    done
}

copy_previous() {
    mkdir -p "${ROOTFS_DIR}" "${STAGE_WORK_DIR}/upper" "${STAGE_WORK_DIR}/work"
    mount -t overlay -o "lowerdir=${LAYERS},upperdir=${STAGE_WORK_DIR}/upper,workdir=${STAGE_WORK_DIR}/work" \
        overlay "${ROOTFS_DIR}"
}

run_step() {
    case "${step}" in
    *-packages-nr)
        packages=$(tr '\n' ' ' <"${step}")
        if [ -n "${packages// /}" ]; then
            on_chroot <<EOI
apt-get install --no-install-recommends -y ${packages}
EOI
        fi
        ;;
    *) (cd "$(dirname "${step}")" && "${step}") ;;
    esac
}

run_stage() {
    log "Begin ${STAGE_DIR}"
    STAGE_WORK_DIR="${WORK_DIR}/$(basename "${STAGE_DIR}")"
    ROOTFS_DIR="${STAGE_WORK_DIR}/rootfs"
    mkdir -p "${STAGE_WORK_DIR}"
    if [ ! -f "${STAGE_DIR}/SKIP" ]; then
        rm -rf --one-file-system "${ROOTFS_DIR}" "${STAGE_WORK_DIR}/upper" "${STAGE_WORK_DIR}/work"
        for step in "${STAGE_DIR}/prerun.sh" "${STAGE_DIR}"/*/[0-9][0-9]-*; do
            [ -e "${step}" ] || continue
            log "Begin ${step}"
            run_step
            log "End ${step}"
        done
        unmount
    fi
    if [ -d "${STAGE_WORK_DIR}/upper" ]; then
        LAYERS="${STAGE_WORK_DIR}/upper:${LAYERS}"
    else
        LAYERS="${ROOTFS_DIR}"
    fi
    PREV_ROOTFS_DIR="${ROOTFS_DIR}"
    log "End ${STAGE_DIR}"
}

export -f log on_chroot unmount copy_previous
set -o allexport
[ "$1" = -c ]
# shellcheck source=/dev/null
source "$2"
export ARCH=arm64

log "Begin ${PWD}"
for STAGE_DIR in ${STAGE_LIST}; do
    run_stage
done
export EXPORT_ROOTFS_DIR="${PREV_ROOTFS_DIR}"
STAGE_DIR="${EXPORT_CONFIG_DIR}"
run_stage
log "End ${PWD}"
