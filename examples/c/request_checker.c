/* Checks one HTTP request from standard input against rule files, and tells what was found.
 *
 *     cc -std=c11 request_checker.c $(pkg-config --cflags --libs smesec) -o request_checker
 *     printf 'GET /?q=1+union+select+2 HTTP/1.1\r\nHost: shop.example\r\n\r\n' | ./request_checker shop.conf
 *
 * Without rule files the library's own rules judge. Exit status: 0 passed, 1 stopped, 2 not a
 * request or rules that cannot be read. */
#include "smesec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HEADERS = 100, MOST_BYTES = 1 << 20 };

static smesec_bytes bytes(const char *from, size_t len) {
    smesec_bytes b;
    b.data = (const uint8_t *)from;
    b.len = len;
    return b;
}

static smesec_bytes text(const char *from) { return bytes(from, strlen(from)); }

static int fail(const char *what) {
    smesec_bytes why = smesec_last_error();
    fprintf(stderr, "%s: %.*s\n", what, (int)why.len, why.len ? (const char *)why.data : "");
    return 2;
}

static void print(void *file, smesec_bytes json) {
    fprintf(file, "%.*s\n", (int)json.len, (const char *)json.data);
}

/* A request cut into its parts; all point into the input. */
struct request {
    smesec_bytes method, target, version, body;
    smesec_header headers[MOST_HEADERS];
    size_t header_count;
};

/* Takes the text up to `mark` off the front; the whole rest where there is none. */
static smesec_bytes cut(smesec_bytes *rest, const char *mark) {
    size_t n = strlen(mark);
    for (size_t at = 0; at + n <= rest->len; at++) {
        if (memcmp(rest->data + at, mark, n) == 0) {
            smesec_bytes before = {rest->data, at};
            rest->data += at + n;
            rest->len -= at + n;
            return before;
        }
    }
    smesec_bytes whole = *rest;
    rest->data += rest->len;
    rest->len = 0;
    return whole;
}

static int parse(smesec_bytes input, struct request *request) {
    smesec_bytes line = cut(&input, "\r\n");
    request->method = cut(&line, " ");
    request->target = cut(&line, " ");
    request->version = line;
    while (input.len > 0) {
        line = cut(&input, "\r\n");
        if (line.len == 0) break;
        if (request->header_count == MOST_HEADERS) return 0;
        smesec_header *header = &request->headers[request->header_count++];
        header->name = cut(&line, ":");
        while (line.len > 0 && line.data[0] == ' ') line.data++, line.len--;
        header->value = line;
    }
    request->body = input;
    return request->method.len > 0 && request->target.len > 0 && request->version.len > 0;
}

static smesec_waf *load(int count, char **paths) {
    smesec_ruleset_builder *builder = NULL;
    smesec_ruleset *rules = NULL;
    smesec_waf *waf = NULL;
    smesec_waf_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.mode = SMESEC_MODE_BLOCK;
    if (smesec_ruleset_builder_new(&builder) != SMESEC_STATUS_OK) return NULL;
    smesec_status status = SMESEC_STATUS_OK;
    if (count == 0) status = smesec_ruleset_builder_builtin(builder);
    for (int n = 0; n < count && status == SMESEC_STATUS_OK; n++) {
        status = smesec_ruleset_builder_path(builder, text(paths[n]));
    }
    if (status == SMESEC_STATUS_OK) status = smesec_ruleset_builder_strict(builder, true);
    if (status == SMESEC_STATUS_OK) status = smesec_ruleset_builder_build(builder, &rules);
    if (status == SMESEC_STATUS_OK) smesec_waf_new(rules, &options, &waf);
    smesec_ruleset_builder_free(builder);
    smesec_ruleset_free(rules);
    return waf;
}

static int check(const smesec_waf *waf, const struct request *request) {
    smesec_connection connection;
    memset(&connection, 0, sizeof connection);
    connection.size = sizeof connection;
    connection.client_address = text("192.0.2.1");
    connection.server_address = text("192.0.2.2");
    connection.server_port = 80;

    smesec_transaction *transaction = NULL;
    if (smesec_transaction_begin(waf, &connection, &transaction) != SMESEC_STATUS_OK) return fail("begin");

    smesec_request_head head;
    memset(&head, 0, sizeof head);
    head.size = sizeof head;
    head.method = request->method;
    head.target = request->target;
    head.version = request->version;
    head.headers = request->headers;
    head.header_count = request->header_count;
    smesec_verdict verdict;
    memset(&verdict, 0, sizeof verdict);
    verdict.size = sizeof verdict;
    smesec_status status = smesec_transaction_request_head(transaction, &head, &verdict);
    if (status == SMESEC_STATUS_OK && verdict.action < SMESEC_ACTION_DENY) {
        status = smesec_transaction_request_body(transaction, request->body, true, &verdict);
    }
    if (status != SMESEC_STATUS_OK) {
        smesec_transaction_free(transaction);
        return fail("check");
    }

    int stopped = verdict.action >= SMESEC_ACTION_DENY;
    printf("%s, status %u, score %d\n", stopped ? "stopped" : "passed", verdict.status, verdict.score);
    for (size_t n = 0; n < smesec_transaction_finding_count(transaction); n++) {
        smesec_finding finding;
        memset(&finding, 0, sizeof finding);
        finding.size = sizeof finding;
        if (smesec_transaction_finding(transaction, n, &finding) == SMESEC_STATUS_OK) {
            printf("rule %.*s in %.*s: %.*s\n", (int)finding.rule_id.len, (const char *)finding.rule_id.data,
                   (int)finding.part.len, (const char *)finding.part.data, (int)finding.message.len,
                   (const char *)finding.message.data);
        }
    }

    smesec_outcome outcome;
    memset(&outcome, 0, sizeof outcome);
    outcome.size = sizeof outcome;
    outcome.status = stopped ? verdict.status : 200;
    smesec_transaction_finish(transaction, &outcome, print, stdout);
    smesec_transaction_free(transaction);
    return stopped;
}

int main(int argc, char **argv) {
    static char input[MOST_BYTES];
    static struct request request;
    if (smesec_abi_version() != SMESEC_ABI) return fail("another library than this program was built with");
    smesec_waf *waf = load(argc - 1, argv + 1);
    if (waf == NULL) return fail("rules");
    size_t len = fread(input, 1, sizeof input, stdin);
    int result = 2;
    if (parse(bytes(input, len), &request)) {
        result = check(waf, &request);
    } else {
        fprintf(stderr, "standard input is not an HTTP/1 request with CRLF line ends\n");
    }
    smesec_waf_free(waf);
    return result;
}
