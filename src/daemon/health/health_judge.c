/* SPDX-License-Identifier: ISC */
#include "health_judge.h"

bool health_judge(struct health_judge *j, bool is_good, uint32_t rise, uint32_t fall)
{
	if (is_good == j->is_up) {
		j->streak = 0;
		return false;
	}
	if (++j->streak < (is_good ? rise : fall))
		return false;
	j->is_up = is_good;
	j->streak = 0;
	return true;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9112 4: "HTTP/1.1 200 "; the line may end where the last space would be. */
static bool fits(uint8_t c, size_t i)
{
	static const char start[] = "HTTP/1.";

	if (i < sizeof(start) - 1)
		return c == (uint8_t)start[i];
	switch (i) {
	case 7:
	case 10:
	case 11:
		return is_digit(c);
	case 8:
		return c == ' ';
	case 9:
		return c >= '1' && c <= '5';
	default:
		return c == ' ' || c == '\r' || c == '\n';
	}
}

int health_status(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && i < HEALTH_STATUS_LEN; i++) {
		if (!fits(bytes[i], i))
			return HEALTH_STATUS_BAD;
	}
	if (len < HEALTH_STATUS_LEN)
		return HEALTH_STATUS_MORE;
	return (bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + (bytes[11] - '0');
}
