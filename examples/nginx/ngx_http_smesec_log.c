/* The log phase: one event as a line of JSON; a line in the error log for what was stopped; variables. */
#include "ngx_http_smesec.h"

static const char *const ngx_http_smesec_actions[] = {"pass", "log", "deny", "redirect", "decoy", "drop", "reject"};

/* Keeps what variables and logs show, before the transaction is gone. */
static void ngx_http_smesec_keep_summary(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    size_t n, count, most = 10, len = 0;
    smesec_finding finding;
    u_char *at;

    if (ctx->finished) {
        return;
    }
    ctx->score = ctx->verdict.score;
    ctx->action.data = (u_char *)ngx_http_smesec_actions[ngx_min(ctx->verdict.action, SMESEC_ACTION_REJECT)];
    ctx->action.len = ngx_strlen(ctx->action.data);
    count = smesec_transaction_finding_count(ctx->transaction);
    ngx_str_null(&ctx->rules);
    if (count == 0) {
        return;
    }
    ngx_memzero(&finding, sizeof finding);
    finding.size = sizeof finding;
    for (n = 0; n < count && n < most; n++) {
        if (smesec_transaction_finding(ctx->transaction, n, &finding) == SMESEC_STATUS_OK) {
            len += finding.rule_id.len + 1;
        }
    }
    at = ngx_pnalloc(r->pool, len + 1);
    if (at == NULL) {
        return;
    }
    ctx->rules.data = at;
    for (n = 0; n < count && n < most; n++) {
        if (smesec_transaction_finding(ctx->transaction, n, &finding) == SMESEC_STATUS_OK) {
            if (n != 0) {
                *at++ = ',';
            }
            at = ngx_cpymem(at, finding.rule_id.data, finding.rule_id.len);
        }
    }
    ctx->rules.len = (size_t)(at - ctx->rules.data);
}

/* Says in the error log what was stopped, and why. */
void ngx_http_smesec_tell(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    ngx_str_t why;
    if (ctx->failed != SMESEC_STATUS_OK) {
        why = ngx_http_smesec_str(smesec_status_text(ctx->failed));
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0, "smesec: request refused, it could not be inspected: %V",
                      &why);
        return;
    }
    ngx_http_smesec_keep_summary(r, ctx);
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "smesec: stopped, action %V, status %uD, score %i, rules %V",
                  &ctx->action, (uint32_t)ctx->verdict.status, ctx->score, &ctx->rules);
}

typedef struct {
    ngx_http_request_t *request;
    ngx_open_file_t *file;
    const smesec_ruleset *rules;
} ngx_http_smesec_line_t;

static void ngx_http_smesec_write(void *user, smesec_bytes json) {
    ngx_http_smesec_line_t *line = user;
    u_char *copy = ngx_pnalloc(line->request->pool, json.len + 1);
    static time_t told;
    ssize_t n;
    if (copy == NULL) {
        return;
    }
    /* One write, so that lines of several workers never mix. */
    *(u_char *)ngx_cpymem(copy, json.data, json.len) = '\n';
    n = ngx_write_fd(line->file->fd, copy, json.len + 1);
    if (n != (ssize_t)(json.len + 1) && ngx_time() - told > 59) {
        told = ngx_time();
        ngx_log_error(NGX_LOG_ALERT, line->request->connection->log, n < 0 ? ngx_errno : 0,
                      ngx_write_fd_n " to \"%V\" failed", &line->file->name);
    }
}

/* The line whose event passes through the sink below; a worker has one thread that logs. */
static ngx_http_smesec_line_t *ngx_http_smesec_line;
static smesec_sink *ngx_http_smesec_sink;

static void ngx_http_smesec_accept(void *user, const smesec_event *event) {
    ngx_http_smesec_line_t *line = ngx_http_smesec_line;
    if (line != NULL) {
        (void)smesec_event_modsecurity_json(event, line->rules, ngx_http_smesec_write, line);
    }
}

/* The sink of a worker through which events become lines of ModSecurity's form. */
smesec_status ngx_http_smesec_log_start(void) {
    smesec_sink_vtable table;
    if (ngx_http_smesec_sink != NULL) {
        return SMESEC_STATUS_OK;
    }
    ngx_memzero(&table, sizeof table);
    table.size = sizeof table;
    table.accept = ngx_http_smesec_accept;
    return smesec_sink_new(&table, NULL, &ngx_http_smesec_sink);
}

static smesec_status ngx_http_smesec_finish(ngx_http_smesec_ctx_t *ctx, const smesec_outcome *outcome,
                                            ngx_http_smesec_line_t *line) {
    smesec_status status;
    if (line->file == NULL || !ctx->conf->log_modsecurity) {
        return smesec_transaction_finish(ctx->transaction, outcome, line->file ? ngx_http_smesec_write : NULL, line);
    }
    ngx_http_smesec_line = line;
    status = smesec_transaction_finish_into(ctx->transaction, outcome, ngx_http_smesec_sink);
    ngx_http_smesec_line = NULL;
    return status;
}

ngx_int_t ngx_http_smesec_log_handler(ngx_http_request_t *r) {
    ngx_http_smesec_ctx_t *ctx;
    ngx_http_smesec_line_t line;
    smesec_outcome outcome;
    off_t sent;

    if (r != r->main) {
        return NGX_OK;
    }
    ctx = ngx_http_smesec_find(r);
    if (ctx == NULL || ctx->finished || ctx->transaction == NULL) {
        return NGX_OK;
    }
    ngx_http_smesec_keep_summary(r, ctx);
    ctx->finished = 1;
    ngx_memzero(&outcome, sizeof outcome);
    outcome.size = sizeof outcome;
    outcome.status = (uint16_t)(r->err_status ? r->err_status : r->headers_out.status);
    sent = r->connection->sent - (off_t)r->header_size;
    outcome.bytes = sent > 0 ? (uint64_t)sent : 0;
    outcome.aborted = r->connection->error != 0;
    line.request = r;
    line.file = ctx->conf->log;
    line.rules = ctx->conf->set->rules;
    if (ngx_http_smesec_finish(ctx, &outcome, &line) != SMESEC_STATUS_OK) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0, "smesec: the event could not be made");
    }
    return NGX_OK;
}

/* --- variables ----------------------------------------------------------------------------------- */

static ngx_int_t ngx_http_smesec_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t which) {
    ngx_http_smesec_ctx_t *ctx = ngx_http_smesec_find(r->main);
    u_char *digits;

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    /* While the pool has the transaction, nobody else looks at it. */
    if (ctx == NULL || ctx->transaction == NULL || ctx->state == NGX_HTTP_SMESEC_INSPECTING || ctx->thinking) {
        v->not_found = 1;
        return NGX_OK;
    }
    ngx_http_smesec_keep_summary(r, ctx);
    if (which == 1) {
        digits = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
        if (digits == NULL) {
            return NGX_ERROR;
        }
        v->data = digits;
        v->len = (unsigned)(ngx_sprintf(digits, "%i", ctx->score) - digits);
        return NGX_OK;
    }
    v->data = which == 0 ? ctx->action.data : ctx->rules.data;
    v->len = (unsigned)(which == 0 ? ctx->action.len : ctx->rules.len);
    v->not_found = v->len == 0;
    return NGX_OK;
}

static ngx_http_variable_t ngx_http_smesec_names[] = {
    {ngx_string("smesec_action"), NULL, ngx_http_smesec_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0},
    {ngx_string("smesec_score"), NULL, ngx_http_smesec_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0},
    {ngx_string("smesec_rules"), NULL, ngx_http_smesec_variable, 2, NGX_HTTP_VAR_NOCACHEABLE, 0},
    ngx_http_null_variable,
};

ngx_int_t ngx_http_smesec_variables(ngx_conf_t *cf) {
    ngx_http_variable_t *name, *made;
    for (name = ngx_http_smesec_names; name->name.len != 0; name++) {
        made = ngx_http_add_variable(cf, &name->name, name->flags);
        if (made == NULL) {
            return NGX_ERROR;
        }
        made->get_handler = name->get_handler;
        made->data = name->data;
    }
    return NGX_OK;
}
