/* SPDX-License-Identifier: ISC */
/*
 * Packets for the model test: made from sets so small that everything collides with everything, given to the lab and
 * judged by the model.
 */
#ifndef NATD_TESTS_MODEL_TRAFFIC_H
#define NATD_TESTS_MODEL_TRAFFIC_H

#include "model.h"

struct model_traffic {
	struct lab *lab;
	struct model *model;
	uint32_t (*below)(uint32_t n);	      /* a random number */
	void (*note)(const char *format, ...) /* a line about an event, for the analysis of a failure */
		__attribute__((format(printf, 1, 2)));
	void (*keep)(const uint8_t *packet, size_t len); /* ... and the packet that the last note was about */
};

void traffic_known(const struct model_traffic *t);     /* of a session that there is */
void traffic_new_out(const struct model_traffic *t);   /* from inside, hairpinned ones too */
void traffic_new_in(const struct model_traffic *t);    /* from outside */
void traffic_odd(const struct model_traffic *t);       /* addresses that no host may have */
void traffic_error(const struct model_traffic *t);     /* an ICMP error about a session */
void traffic_fragments(const struct model_traffic *t); /* a datagram in three, in any order */

#endif
