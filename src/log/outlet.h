/* SPDX-License-Identifier: ISC */
/*
 * Where the log goes. An outlet buffers records, up to a limit, and hands them over without waiting for anything but
 * the disk. It keeps what it could not hand over; its user stops adding records while OUTLET_HIGH bytes are waiting.
 *
 * After an error some outlets cannot say what arrived (`forgets`): their user then repeats everything since the last
 * settled position. So each record arrives at least once, unless natd has overwritten its event meanwhile.
 */
#ifndef NATD_LOG_OUTLET_H
#define NATD_LOG_OUTLET_H

#include <sys/socket.h>

#include "daemon/config/config.h"
#include "record.h"

enum {
	OUTLET_HIGH = 128 << 10,
	/* Beyond OUTLET_HIGH: room for what natd had already sent, at most 16 KiB; a byte of it becomes fewer than
	 * 16. */
	OUTLET_BUFFER = 512 << 10,
	OUTLET_WHY = 256,
};

struct outlet;

struct outlet_ops {
	void (*put)(struct outlet *o, const struct record *r);
	/* 0: everything has been handed over; -EAGAIN: some has to wait; another negative errno: it failed, and may
	 * be retried. */
	int (*flush)(struct outlet *o);
	/* Only after flush() returned 0. 0: everything handed over is safe as far as can be known (on disk,
	 * acknowledged); else as flush(). */
	int (*settle)(struct outlet *o);
	int (*reopen)(struct outlet *o); /* on SIGHUP; NULL: nothing to do */
	void (*close)(struct outlet *o);
	bool forgets;	   /* after an error, what was handed over last */
	bool settles_late; /* an error may arrive up to a second after the datagram that caused it */
};

struct outlet {
	const struct outlet_ops *ops;
	enum config_tlog_format format;
	char name[CONFIG_PLACE_SIZE + 64]; /* for messages: "file /var/log/natd/translations.log" */
	size_t waiting;			   /* bytes in the buffer */
	uint8_t buffer[OUTLET_BUFFER];
};

/* Opens the outlet that the target names, with its files and sockets; a server need not be up yet. NULL on failure,
 * with the reason in `why`. */
struct outlet *outlet_open(const struct config_tlog *t, char why[OUTLET_WHY]);
void outlet_close(struct outlet *o); /* NULL is allowed */
/* The directory in which the outlet creates files, as a borrowed descriptor; -1: it creates none. */
int outlet_dir(const struct outlet *o);

/* ---- for outlets ---- */

struct outlet *outlet_file_open(const struct config_tlog *t, char why[OUTLET_WHY]);
struct outlet *outlet_journal_open(const struct config_tlog *t, char why[OUTLET_WHY]);
struct outlet *outlet_syslog_open(const struct config_tlog *t, char why[OUTLET_WHY]);
struct outlet *outlet_ipfix_open(const struct config_tlog *t, char why[OUTLET_WHY]);
int outlet_file_dir(const struct outlet *o);

struct outlet_server {
	struct sockaddr_storage address;
	socklen_t len;
};

/* Resolves the server's name. False: the reason is in `why`. */
bool outlet_find_server(const struct config_tlog *t, bool is_stream, struct outlet_server *out, char why[OUTLET_WHY]);
/* A connected non-blocking socket (a stream may still be connecting). A descriptor or a negative errno. */
int outlet_connect(const struct outlet_server *s, bool is_stream);

/* Datagrams in the buffer, each after its length: adds one; sends what is there, with the results of
 * outlet_ops.flush(). */
void outlet_put_datagram(struct outlet *o, const void *data, size_t len);
int outlet_send_datagrams(struct outlet *o, int fd);

/* The same for a UDP port that may be closed. Its error shows at a later call: then the buffer is emptied, and each
 * call fails until a probe (any datagram) has been sent and the next call has seen no error. */
enum outlet_port { PORT_UP, PORT_DOWN, PORT_PROBED };
int outlet_send_to_port(struct outlet *o, int fd, enum outlet_port *port, void (*probe)(struct outlet *o, int fd));
/* 0: no error has arrived. */
int outlet_check_port(struct outlet *o, int fd, enum outlet_port *port);

/* Bytes in the buffer: adds some; drops those that were handed over. */
void outlet_put_bytes(struct outlet *o, const void *data, size_t len);
void outlet_drop_bytes(struct outlet *o, size_t n);

/* The record in the configured text format, with a newline; returns its length. */
size_t outlet_line(const struct outlet *o, char out[RECORD_SIZE], const struct record *r);

#endif
