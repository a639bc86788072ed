/* SPDX-License-Identifier: ISC */
/*
 * Explanation and packet path never disagree: each packet that a lab sends is explained first, and what then happens to
 * it is compared. Part of natlab.c, so that every test of the core is one of this, too.
 */
#ifndef NATD_TESTS_FORETELL_H
#define NATD_TESTS_FORETELL_H

#include "../../src/core/nat/explain.h"
#include "natlab.h"

struct foretold {
	bool is_valid; /* a packet that can be explained */
	struct explanation x;
};

/* Explains the packet, and checks that nothing changes in one of l->purity_every. */
void foretell(struct lab *l, const uint8_t *p, size_t len, struct foretold *f);
/* Compares the prediction with the result. */
void foretold_check(const struct lab *l, const struct foretold *f, const struct nat_packet *np);

#endif
