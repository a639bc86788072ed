/* SPDX-License-Identifier: ISC */
/*
 * The other main() of a fuzz target: instead of searching for new inputs, it runs the target over
 * the files given, or over the corpus that belongs to the program's name (fuzz_x: tests/fuzz/corpus/x),
 * with any compiler. A crash that the fuzzer once found is a file there, and so a test from then on.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An exact-sized allocation for each input, so that the address sanitizer sees one byte too far. */
static int replay_bytes(FILE *f, const char *path, size_t size)
{
	uint8_t *data = malloc(size ? size : 1);

	if (!data || fread(data, 1, size, f) != size) {
		fprintf(stderr, "replay: %s: cannot be read\n", path);
		free(data);
		return -1;
	}
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

static int replay_file(const char *path, off_t size)
{
	FILE *f = fopen(path, "rb");
	int rc;

	if (!f) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	rc = replay_bytes(f, path, (size_t)size);
	fclose(f);
	return rc;
}

static int replay_path(const char *path, unsigned int *n_files);

static int replay_directory(const char *path, unsigned int *n_files)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[PATH_MAX];
	int rc = 0;

	if (!dir) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= sizeof(name)) {
			rc = -1;
			break;
		}
		rc |= replay_path(name, n_files);
	}
	closedir(dir);
	return rc;
}

static int replay_path(const char *path, unsigned int *n_files)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
		return -1;
	}
	if (S_ISDIR(st.st_mode))
		return replay_directory(path, n_files);
	(*n_files)++;
	return replay_file(path, st.st_size);
}

static int replay_own_corpus(const char *program, unsigned int *n_files)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(program, '/');
	char path[PATH_MAX];

	name = name ? name + 1 : program;
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	if ((size_t)snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", name) >=
	    sizeof(path))
		return -1;
	return replay_path(path, n_files);
}

int main(int argc, char **argv)
{
	unsigned int n_files = 0;
	int rc = 0;
	int i;

	if (argc < 2)
		rc = replay_own_corpus(argv[0], &n_files);
	for (i = 1; i < argc; i++)
		rc |= replay_path(argv[i], &n_files);
	if (n_files == 0) {
		fprintf(stderr, "replay: no input: nothing was tested\n");
		return EXIT_FAILURE;
	}
	printf("%u inputs\n", n_files);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
