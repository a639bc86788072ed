/* SPDX-License-Identifier: ISC */
/* One queue of the TUN device, with or without virtio headers. */
#include "tun.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/kernel/netns.h"
#include "vnet.h"

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif

/* ---- opening ---- */

static short wanted_flags(const struct tun_options *o)
{
	int flags = IFF_TUN | IFF_NO_PI;

	if (o->offload)
		flags |= IFF_VNET_HDR;
	if (o->multi_queue)
		flags |= IFF_MULTI_QUEUE;
	return (short)flags;
}

/* Requests all offloads, then fewer, until the kernel accepts. */
static int ask_offload(struct tun *t)
{
	static const struct {
		unsigned long ask;
		unsigned features;
	} steps[] = {
		{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6, TUN_CHECKSUM | TUN_TSO | TUN_USO},
		{TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN, TUN_CHECKSUM | TUN_TSO},
		{TUN_F_CSUM, TUN_CHECKSUM},
		{0, 0},
	};
	unsigned i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (ioctl(t->fd, TUNSETOFFLOAD, steps[i].ask) == 0) {
			t->features = steps[i].features;
			return 0;
		}
	}
	return -errno;
}

/* The steps after the descriptor was opened, for the device. */
static int set_up(struct tun *t, const struct tun_options *o)
{
	int size = VNET_HEADER_SIZE;
	int flags = fcntl(t->fd, F_GETFL);

	if (flags < 0 || fcntl(t->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	t->has_vnet = o->offload;
	t->features = 0;
	if (!o->offload) /* offload left on by an earlier natd would give super-packets without a header */
		return ioctl(t->fd, TUNSETOFFLOAD, 0UL) < 0 ? -errno : 0;
	if (ioctl(t->fd, TUNSETVNETHDRSZ, &size) < 0)
		return -errno;
	return ask_offload(t);
}

static void init(struct tun *t, int fd, const char *name)
{
	memset(t, 0, sizeof(*t));
	t->fd = fd;
	strncpy(t->name, name, sizeof(t->name) - 1);
}

static int open_as(struct tun *t, const struct tun_options *o)
{
	struct ifreq ifr = {.ifr_flags = wanted_flags(o)};
	int rc;

	init(t, -1, o->name);
	if (strlen(o->name) >= sizeof(ifr.ifr_name))
		return -EINVAL;
	t->fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (t->fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, t->name, sizeof(ifr.ifr_name));
	rc = ioctl(t->fd, TUNSETIFF, &ifr) < 0 ? -errno : set_up(t, o);
	if (rc < 0)
		tun_close(t);
	return rc;
}

/* A kernel without virtio headers (in some sandboxes) still provides a device. */
int tun_open(struct tun *t, const struct tun_options *o)
{
	struct tun_options plain = *o;
	int rc = open_as(t, o);

	plain.offload = false;
	return rc == -EINVAL && o->offload ? open_as(t, &plain) : rc;
}

/* If the kernel cannot tell, the answer is yes. */
static bool is_in_our_namespace(int fd)
{
	int ns = ioctl(fd, TUNGETDEVNETNS);
	uint64_t theirs, ours;
	bool same;

	if (ns < 0)
		return true;
	same = netns_of(ns, &theirs) == 0 && netns_own(&ours) == 0 && theirs == ours;
	close(ns);
	return same;
}

int tun_adopt(struct tun *t, int fd, const struct tun_options *o)
{
	const int kind = IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	struct ifreq ifr = {.ifr_flags = 0};
	int rc;

	init(t, fd, o->name);
	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		rc = errno == ENOTTY ? -EINVAL : -ENODEV;
	else if (!is_in_our_namespace(fd))
		rc = -ENODEV;
	else if (strncmp(ifr.ifr_name, o->name, sizeof(ifr.ifr_name)) != 0)
		rc = -ENODEV;
	else if (((ifr.ifr_flags ^ wanted_flags(o)) & kind) != 0)
		rc = -EINVAL;
	else
		rc = set_up(t, o);
	if (rc < 0)
		t->fd = -1;
	return rc;
}

void tun_close(struct tun *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

/* ---- packets ---- */

static int read_failed(struct io_counters *io)
{
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	io->value[IO_TUN_READ_ERROR]++;
	return -errno;
}

int tun_read(const struct tun *t, struct io_counters *io, uint8_t *buffer, size_t room, struct nat_packet *p)
{
	uint8_t header[VNET_HEADER_SIZE];
	struct iovec iov[2] = {{header, sizeof(header)}, {buffer, room}};
	size_t skip = t->has_vnet ? sizeof(header) : 0;
	ssize_t n = t->has_vnet ? readv(t->fd, iov, 2) : read(t->fd, buffer, room);

	if (n < 0)
		return read_failed(io);
	*p = (struct nat_packet){.data = buffer, .source = NAT_FROM_TUN};
	if ((size_t)n > skip)
		p->len = (uint32_t)((size_t)n - skip);
	if (p->len == 0 || (t->has_vnet && !vnet_decode(header, p))) {
		io->value[IO_TUN_READ_BAD]++;
		return -EBADMSG;
	}
	io->value[IO_TUN_READ]++;
	io->value[IO_TUN_READ_SUPER] += p->gso_size != 0;
	return 1;
}

static enum io_counter write_counter(int err)
{
	switch (err) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return IO_TUN_WRITE_FULL;
	case EIO:
	case ENETDOWN:
	case ENODEV:
	case EBADFD:
		return IO_TUN_WRITE_DOWN;
	case EINVAL:
		return IO_TUN_WRITE_INVALID;
	default:
		return IO_TUN_WRITE_ERROR;
	}
}

/* Sends header and packet in one call. Returns 0 or a negative errno. */
static int write_whole(const struct tun *t, const struct nat_packet *p, const struct iovec *parts, int count)
{
	uint8_t header[VNET_HEADER_SIZE];
	struct iovec iov[TUN_PARTS + 1] = {{header, sizeof(header)}};
	ssize_t n;

	if (count > TUN_PARTS || (t->has_vnet && !vnet_encode(p, header)))
		return -EINVAL;
	if (!t->has_vnet && (p->gso_size || (p->csum_partial && !vnet_finish_checksum(p->data, p->len))))
		return -EINVAL;
	memcpy(iov + 1, parts, (size_t)count * sizeof(*parts));
	do
		n = t->has_vnet ? writev(t->fd, iov, count + 1) : writev(t->fd, iov + 1, count);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int tun_write_parts(const struct tun *t, struct io_counters *io, const struct nat_packet *p, const struct iovec *parts,
		    int n)
{
	int rc = write_whole(t, p, parts, n);

	io->value[rc < 0 ? write_counter(-rc) : IO_TUN_WRITE]++;
	return rc;
}

int tun_write(const struct tun *t, struct io_counters *io, const struct nat_packet *p)
{
	const struct iovec part = {p->data, p->len};

	return tun_write_parts(t, io, p, &part, 1);
}
