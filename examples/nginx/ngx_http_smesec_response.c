/* Filters over the response: its head, its body as it streams.
 *
 * Where the rules may stop a response by its body, head and body are held back until the last piece came, or more
 * than the rules look at; else each piece goes on at once. A long one is judged in nginx's thread pool, its end
 * held back for so long. They stand before compression. What subrequests bring is nginx's own. */
#include "ngx_http_smesec.h"

static ngx_http_output_header_filter_pt ngx_http_smesec_next_header;
static ngx_http_output_body_filter_pt ngx_http_smesec_next_body;

static void ngx_http_smesec_add(smesec_header *headers, ngx_uint_t *count, const char *name, ngx_str_t value) {
    ngx_str_t key;
    if (value.len != 0) {
        key.data = (u_char *)name;
        key.len = ngx_strlen(name);
        headers[*count].name = ngx_http_smesec_bytes(key);
        headers[*count].value = ngx_http_smesec_bytes(value);
        ++*count;
    }
}

static smesec_status ngx_http_smesec_response_head(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    static ngx_str_t version = ngx_string("HTTP/1.1");
    ngx_list_part_t *part;
    ngx_table_elt_t *header;
    smesec_response_head head;
    smesec_header *headers;
    ngx_uint_t n, count = 0;
    u_char digits[NGX_OFF_T_LEN];
    ngx_str_t length = ngx_null_string;

    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        count += part->nelts;
    }
    headers = ngx_palloc(r->pool, (count + 2) * sizeof *headers);
    if (headers == NULL) {
        return SMESEC_STATUS_LIMIT;
    }
    count = 0;
    /* nginx keeps these two apart from the list. */
    ngx_http_smesec_add(headers, &count, "Content-Type", r->headers_out.content_type);
    if (r->headers_out.content_length_n >= 0) {
        length.data = digits;
        length.len = (size_t)(ngx_sprintf(digits, "%O", r->headers_out.content_length_n) - digits);
        ngx_http_smesec_add(headers, &count, "Content-Length", length);
    }
    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        header = part->elts;
        for (n = 0; n < part->nelts; n++) {
            if (header[n].hash != 0) {
                headers[count].name = ngx_http_smesec_bytes(header[n].key);
                headers[count].value = ngx_http_smesec_bytes(header[n].value);
                count++;
            }
        }
    }
    ngx_memzero(&head, sizeof head);
    head.size = sizeof head;
    head.version = ngx_http_smesec_bytes(r->http_protocol.len ? r->http_protocol : version);
    head.headers = headers;
    head.header_count = count;
    head.status = (uint16_t)r->headers_out.status;
    return smesec_transaction_response_head(ctx->transaction, &head, &ctx->verdict);
}

static ngx_uint_t ngx_http_smesec_response_piece(ngx_http_smesec_ctx_t *ctx, u_char *from, size_t len, bool last) {
    ngx_str_t piece = {len, from};
    smesec_status status =
        smesec_transaction_response_body(ctx->transaction, ngx_http_smesec_bytes(piece), last, &ctx->verdict);
    return ngx_http_smesec_failed(ctx, status) == NGX_OK && !ngx_http_smesec_stops(&ctx->verdict);
}

/* Another answer instead; nothing of this one has been sent. */
static ngx_int_t ngx_http_smesec_replace(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    ctx->acted = 1;
    ctx->holding = 0;
    /* What is left of the other answer has nowhere to go. */
    r->keepalive = 0;
    ngx_http_smesec_tell(r, ctx);
    if (ctx->verdict.action == SMESEC_ACTION_DROP || ctx->verdict.action == SMESEC_ACTION_REJECT) {
        r->connection->error = 1;
        return NGX_ERROR;
    }
    if (ctx->verdict.action == SMESEC_ACTION_REDIRECT) {
        /* Its place in the head would be cleared with the rest. */
        ctx->verdict.status = NGX_HTTP_FORBIDDEN;
        ctx->verdict.action = SMESEC_ACTION_DENY;
    }
    return ngx_http_filter_finalize_request(r, &ngx_http_smesec_module, ngx_http_smesec_status(r, ctx));
}

/* nginx gives the request up; it stays until the pool is done with it. */
static void ngx_http_smesec_gone(void *data) {
    ((ngx_http_smesec_ctx_t *)data)->gone = 1;
}

/* The transaction whose response this subrequest brings a slice of; NULL where it does not. */
static ngx_http_smesec_ctx_t *ngx_http_smesec_slices(ngx_http_request_t *r) {
    ngx_http_smesec_ctx_t *ctx = NULL;
    if (r->main->subrequest_ranges && r->parent == r->main) {
        ctx = ngx_http_get_module_ctx(r->main, ngx_http_smesec_module);
    }
    return ctx != NULL && ctx->watching ? ctx : NULL;
}

static ngx_int_t ngx_http_smesec_header_filter(ngx_http_request_t *r) {
    ngx_http_smesec_ctx_t *ctx;
    ngx_http_cleanup_t *cleanup;
    bool wanted = false;
    uint64_t hold = 0;

    if (r != r->main) {
        if (ngx_http_smesec_slices(r)) {
            r->filter_need_in_memory = 1;
        }
        return ngx_http_smesec_next_header(r);
    }
    ctx = ngx_http_smesec_find(r);
    /* The request's body may have been cut short: then nginx answers, and nobody has to be asked. */
    if (ctx == NULL || ctx->state != NGX_HTTP_SMESEC_DECIDED || ctx->acted || ctx->answered ||
        ctx->transaction == NULL || r->headers_out.status < NGX_HTTP_OK) {
        return ngx_http_smesec_next_header(r);
    }
    ctx->answered = 1;
    if (ngx_http_smesec_failed(ctx, ngx_http_smesec_response_head(r, ctx)) != NGX_OK ||
        ngx_http_smesec_stops(&ctx->verdict) ||
        ngx_http_smesec_failed(ctx, smesec_transaction_wants(ctx->transaction, SMESEC_PHASE_RESPONSE_BODY, &wanted,
                                                             &hold)) != NGX_OK) {
        return ngx_http_smesec_replace(r, ctx);
    }
    if (!wanted || r->header_only || r->method == NGX_HTTP_HEAD || r->headers_out.status == NGX_HTTP_NO_CONTENT ||
        r->headers_out.status == NGX_HTTP_NOT_MODIFIED) {
        return ngx_http_smesec_response_piece(ctx, NULL, 0, true) ? ngx_http_smesec_next_header(r)
                                                                  : ngx_http_smesec_replace(r, ctx);
    }
    cleanup = ngx_http_cleanup_add(r, 0);
    if (cleanup == NULL) {
        return NGX_ERROR;
    }
    cleanup->handler = ngx_http_smesec_gone;
    cleanup->data = ctx;
    ctx->watching = 1;
    r->filter_need_in_memory = 1;
    /* Slices come as subrequests, behind a head that has to be gone by then. */
    if (hold != 0 && !r->subrequest_ranges) {
        /* The parts of a body are chosen before it comes by here, the head for them is made after. */
        r->allow_ranges = 0;
        ctx->holding = 1;
        ctx->hold = hold;
        ctx->held_last = &ctx->held;
        return NGX_OK;
    }
    return ngx_http_smesec_next_header(r);
}

/* Keeps a copy: the buffers belong to who made them, and are wanted back. */
static ngx_int_t ngx_http_smesec_keep(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx, ngx_buf_t *b, size_t len) {
    ngx_chain_t *link = ngx_alloc_chain_link(r->pool);
    ngx_buf_t *copy = len != 0 ? ngx_create_temp_buf(r->pool, len) : ngx_calloc_buf(r->pool);
    if (link == NULL || copy == NULL) {
        return NGX_ERROR;
    }
    if (len != 0) {
        copy->last = ngx_cpymem(copy->pos, b->pos, len);
    }
    copy->last_buf = b->last_buf;
    copy->last_in_chain = b->last_in_chain;
    copy->flush = b->flush;
    copy->sync = len == 0 && !b->last_buf && !b->flush;
    link->buf = copy;
    link->next = NULL;
    *ctx->held_last = link;
    ctx->held_last = &link->next;
    b->pos = b->last;
    b->file_pos = b->file_last;
    return NGX_OK;
}

/* Judges what is held, or has been seen. Runs in the pool too: touches nothing but the context and the chain. */
static void ngx_http_smesec_judge(void *data, ngx_log_t *log) {
    ngx_http_smesec_ctx_t *ctx = *(ngx_http_smesec_ctx_t **)data;
    ngx_chain_t *link;
    for (link = ctx->holding ? ctx->held : NULL; link != NULL; link = link->next) {
        ngx_buf_t *b = link->buf;
        if (b->last != b->pos && !ngx_http_smesec_response_piece(ctx, b->pos, (size_t)(b->last - b->pos), false)) {
            return;
        }
    }
    (void)ngx_http_smesec_response_piece(ctx, NULL, 0, true);
}

/* The verdict is here: sends what was held back, or something else instead. */
static ngx_int_t ngx_http_smesec_conclude(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    ngx_chain_t *out = ctx->late;
    ngx_int_t rc;

    ctx->watching = 0;
    ctx->thinking = 0;
    r->buffered &= ~NGX_HTTP_SMESEC_BUFFERED;
    if (ngx_http_smesec_stops(&ctx->verdict)) {
        if (ctx->holding) {
            return ngx_http_smesec_replace(r, ctx);
        }
        /* The head is gone: all that is left is to break off. */
        ctx->acted = 1;
        ngx_http_smesec_tell(r, ctx);
        r->connection->error = 1;
        return NGX_ERROR;
    }
    if (ctx->holding) {
        ctx->holding = 0;
        rc = ngx_http_smesec_next_header(r);
        if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
            return rc;
        }
        *ctx->held_last = ctx->late;
        out = ctx->held;
    }
    return ngx_http_smesec_next_body(r, out);
}

static void ngx_http_smesec_judged(ngx_event_t *event) {
    ngx_http_smesec_ctx_t *ctx = event->data;
    ngx_http_request_t *r = ctx->request;
    ngx_connection_t *c = r->connection;
    ngx_int_t rc;

    if (ngx_http_smesec_still_running(ctx, event)) {
        return;
    }
    if (r->done) {
        c->write->handler(c->write);
        return;
    }
    /* An upstream that waits for more would not ask again: what is held goes on from here. */
    rc = ctx->gone ? NGX_OK : ngx_http_smesec_conclude(r, ctx);
    if (rc == NGX_ERROR || rc > NGX_OK) {
        ngx_http_finalize_request(r, rc);
    } else {
        r->write_event_handler(r);
    }
    ngx_http_run_posted_requests(c);
}

/* All that is to be judged is here. */
static ngx_int_t ngx_http_smesec_decide(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx) {
    if (ctx->seen >= ctx->conf->long_body &&
        ngx_http_smesec_post(r, ctx, ngx_http_smesec_judge, ngx_http_smesec_judged) == NGX_OK) {
        ctx->thinking = 1;
        r->buffered |= NGX_HTTP_SMESEC_BUFFERED;
        return NGX_AGAIN;
    }
    ngx_http_smesec_judge(&ctx, r->connection->log);
    return ngx_http_smesec_conclude(r, ctx);
}

/* Whether the upstream broke off: nginx flushes what came, its connection closed, and gives the request up. */
static ngx_uint_t ngx_http_smesec_broke_off(ngx_http_request_t *r, ngx_buf_t *b) {
    return b->flush && !b->last_buf && r->upstream != NULL && r->upstream->peer.connection == NULL && !r->cached;
}

static ngx_int_t ngx_http_smesec_body_filter(ngx_http_request_t *r, ngx_chain_t *in) {
    ngx_http_smesec_ctx_t *ctx;
    ngx_chain_t *link;
    ngx_uint_t last;
    size_t len;

    if (r != r->main) {
        ctx = ngx_http_smesec_slices(r);
        for (link = in; ctx != NULL && link != NULL; link = link->next) {
            ngx_buf_t *b = link->buf;
            len = ngx_buf_in_memory(b) ? (size_t)(b->last - b->pos) : 0;
            ctx->seen += len;
            if (len != 0 && !ngx_http_smesec_response_piece(ctx, b->pos, len, false)) {
                return ngx_http_smesec_conclude(r->main, ctx);
            }
        }
        return ngx_http_smesec_next_body(r, in);
    }
    ctx = ngx_http_get_module_ctx(r, ngx_http_smesec_module);
    if (ctx == NULL || !ctx->watching) {
        return ngx_http_smesec_next_body(r, in);
    }
    if (ctx->thinking) {
        /* Not taken: who sends it has to wait as well. */
        return in == NULL || ngx_chain_add_copy(r->pool, &ctx->late, in) == NGX_OK ? NGX_AGAIN : NGX_ERROR;
    }
    for (link = in; link != NULL; link = link->next) {
        ngx_buf_t *b = link->buf;
        last = b->last_buf;
        len = ngx_buf_in_memory(b) ? (size_t)(b->last - b->pos) : 0;
        ctx->seen += len;
        if (ctx->holding) {
            if (ngx_http_smesec_keep(r, ctx, b, len) != NGX_OK) {
                return NGX_ERROR;
            }
        } else if (len != 0 && !ngx_http_smesec_response_piece(ctx, b->pos, len, false)) {
            return ngx_http_smesec_conclude(r, ctx);
        }
        if (last || (ctx->holding && ctx->seen > ctx->hold)) {
            /* What was held is judged; what is not looked at any more goes on behind it. */
            link = ctx->holding ? link->next : in;
            if (link != NULL && ngx_chain_add_copy(r->pool, &ctx->late, link) != NGX_OK) {
                return NGX_ERROR;
            }
            return ngx_http_smesec_decide(r, ctx);
        }
        if (ctx->holding && ngx_http_smesec_broke_off(r, b)) {
            /* What came is judged as all there is, at once: nginx closes the connection next. */
            ngx_http_smesec_judge(&ctx, r->connection->log);
            return ngx_http_smesec_conclude(r, ctx);
        }
    }
    return ctx->holding ? NGX_OK : ngx_http_smesec_next_body(r, in);
}

void ngx_http_smesec_filters(void) {
    ngx_http_smesec_next_header = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_smesec_header_filter;
    ngx_http_smesec_next_body = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_smesec_body_filter;
}
