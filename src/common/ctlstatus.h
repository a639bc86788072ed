/* SPDX-License-Identifier: ISC */
/*
 * Pools, counters, the items of a status, findings of the doctor, lines of text. For ctl_put_ and ctl_get_ see
 * ctlrecord.h.
 */
#ifndef NATD_COMMON_CTLSTATUS_H
#define NATD_COMMON_CTLSTATUS_H

#include "ctlrecord.h"

struct ctl_pool {
	uint32_t address;
	bool shared;		 /* with the host */
	uint32_t ports;		 /* ports that natd may use, for each protocol */
	uint32_t used[3];	 /* mapped or in quarantine: TCP, UDP, ICMP query ids */
	uint32_t quarantined[3]; /* part of `used`; 0 from an older natd */
};
bool ctl_put_pool(struct ctl_writer *w, const struct ctl_pool *p);
bool ctl_get_pool(struct ctl_reader *r, struct ctl_pool *p);

enum { CTL_COUNTER, CTL_GAUGE };

struct ctl_counter {
	uint64_t value;
	char name[64];
	char help[256];
	uint8_t type;  /* CTL_COUNTER only grows while natd runs */
	char unit[16]; /* "bytes"...; "": none */
};
bool ctl_put_counter(struct ctl_writer *w, const struct ctl_counter *c);
bool ctl_get_counter(struct ctl_reader *r, struct ctl_counter *c);

enum ctl_item_kind { CTL_ITEM_NUMBER, CTL_ITEM_TEXT, CTL_ITEM_LIST /* one element; the same name comes again */ };

struct ctl_item {
	uint8_t kind;
	char name[64];
	uint64_t number;
	char text[CTL_TEXT_MAX + 1];
};
bool ctl_put_item_number(struct ctl_writer *w, const char *name, uint64_t number);
bool ctl_put_item_text(struct ctl_writer *w, enum ctl_item_kind kind, const char *name, const char *text);
bool ctl_get_item(struct ctl_reader *r, struct ctl_item *i);

enum ctl_severity { CTL_CHECK_OK, CTL_CHECK_WARN, CTL_CHECK_FAIL };

struct ctl_check {
	uint8_t severity;
	char what[CTL_TEXT_MAX + 1];   /* what was checked, and what was found */
	char remedy[CTL_TEXT_MAX + 1]; /* "": none is needed; in JSON "mend" */
	char id[CTL_NAME_MAX + 1];     /* stable, for scripts; "": from an older natd */
	uint8_t percent;	       /* share of a limit in use; 0: not about a limit */
};
bool ctl_put_check(struct ctl_writer *w, const struct ctl_check *c);
bool ctl_get_check(struct ctl_reader *r, struct ctl_check *c);

bool ctl_put_line(struct ctl_writer *w, const char *text);
bool ctl_get_line(struct ctl_reader *r, char text[CTL_TEXT_MAX + 1]);

#endif
