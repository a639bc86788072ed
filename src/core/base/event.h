/* SPDX-License-Identifier: ISC */
/* Why a session ended. */
#ifndef NATD_CORE_EVENT_H
#define NATD_CORE_EVENT_H

/* One list: the value and the name that `natctl history` prints. Scripts read the names: add a row, never rename one. */
#define SESSION_END_LIST(X)                                                                     \
	X(SESSION_END_TIMEOUT, "timeout")	    /* idle for longer than its timeout */      \
	X(SESSION_END_CLOSED, "closed")		    /* TCP: by FINs */                          \
	X(SESSION_END_RESET, "reset")		    /* TCP: by an RST */                        \
	X(SESSION_END_DELETED, "deleted")	    /* natctl delete */                         \
	X(SESSION_END_FLUSHED, "flushed")	    /* natctl flush */                          \
	X(SESSION_END_RELOAD, "reload")		    /* the new configuration forbids it */      \
	X(SESSION_END_ADDRESS_LOST, "address-lost") /* its outside address is gone */           \
	X(SESSION_END_FILTERED, "filtered")	    /* a filter rule forbids it now */          \
	X(SESSION_END_BACKEND_DOWN, "backend-down") /* the server it was balanced to is down */ \
	X(SESSION_END_REPLACED, "replaced")	    /* it gave way to another one */

enum session_end {
#define X(id, name) id,
	SESSION_END_LIST(X)
#undef X
		SESSION_END_COUNT
};

const char *session_end_name(enum session_end e); /* "unknown" for what is none */

#endif
