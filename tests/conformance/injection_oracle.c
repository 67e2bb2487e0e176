/*
 * Answers what a shared object's libinjection functions say of the values on standard input.
 *
 * Usage: injection_oracle SHARED_OBJECT
 * Input, repeated: length (32 bits, little endian), then as many bytes.
 * Output for each: one byte (bit 0: SQL injection, bit 1: cross-site scripting), then the fingerprint in eight
 * bytes, padded with zeros.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*sqli_function)(const char *, size_t, char[]);
typedef int (*xss_function)(const char *, size_t);

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    void *object = dlopen(argv[1], RTLD_NOW);
    if (object == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    sqli_function sqli;
    xss_function xss;
    *(void **)&sqli = dlsym(object, "libinjection_sqli");
    *(void **)&xss = dlsym(object, "libinjection_xss");
    if (sqli == NULL || xss == NULL) return 3;

    unsigned char head[4];
    while (fread(head, 1, sizeof head, stdin) == sizeof head) {
        size_t length = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
        /* Zeros behind the value: the library may look a little past its end. */
        char *value = calloc(1, length + 64);
        if (value == NULL || fread(value, 1, length, stdin) != length) return 4;
        char fingerprint[64] = {0};
        unsigned char answer[9] = {0};
        answer[0] |= sqli(value, length, fingerprint) ? 1 : 0;
        answer[0] |= xss(value, length) ? 2 : 0;
        if (answer[0] & 1) memcpy(answer + 1, fingerprint, strnlen(fingerprint, 8));
        if (fwrite(answer, 1, sizeof answer, stdout) != sizeof answer) return 4;
        free(value);
    }
    return 0;
}
