/* Filters over the response: its head, its body as it streams.
 *
 * Where the rules may stop a response by its body, head and body are held back until the last piece was seen or as
 * many bytes as the rules want; else each piece goes on at once. They stand before compression. What subrequests
 * bring is nginx's own. */
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
    ctx->watching = 0;
    ctx->holding = 0;
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

static ngx_int_t ngx_http_smesec_header_filter(ngx_http_request_t *r) {
    ngx_http_smesec_ctx_t *ctx;
    bool wanted = false;
    uint64_t hold = 0;

    if (r != r->main) {
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
    ctx->watching = 1;
    r->filter_need_in_memory = 1;
    if (hold != 0) {
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
    ctx->hold -= ngx_min(ctx->hold, (uint64_t)len);
    return NGX_OK;
}

/* Sends what was held, then goes on as if nothing had been. */
static ngx_int_t ngx_http_smesec_release(ngx_http_request_t *r, ngx_http_smesec_ctx_t *ctx, ngx_chain_t *rest) {
    ngx_int_t rc;
    ctx->holding = 0;
    rc = ngx_http_smesec_next_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    *ctx->held_last = rest;
    return ngx_http_smesec_next_body(r, ctx->held);
}

static ngx_int_t ngx_http_smesec_body_filter(ngx_http_request_t *r, ngx_chain_t *in) {
    ngx_http_smesec_ctx_t *ctx;
    ngx_chain_t *link;
    ngx_uint_t last;
    size_t len;

    if (r != r->main || in == NULL) {
        return ngx_http_smesec_next_body(r, in);
    }
    ctx = ngx_http_get_module_ctx(r, ngx_http_smesec_module);
    if (ctx == NULL || !ctx->watching) {
        return ngx_http_smesec_next_body(r, in);
    }
    for (link = in; link != NULL; link = link->next) {
        ngx_buf_t *b = link->buf;
        last = b->last_buf;
        len = ngx_buf_in_memory(b) ? (size_t)(b->last - b->pos) : 0;
        if ((len != 0 || last) && !ngx_http_smesec_response_piece(ctx, b->pos, len, last)) {
            if (ctx->holding) {
                return ngx_http_smesec_replace(r, ctx);
            }
            /* The head is gone: all that is left is to break off. */
            ctx->acted = 1;
            ctx->watching = 0;
            ngx_http_smesec_tell(r, ctx);
            r->connection->error = 1;
            return NGX_ERROR;
        }
        if (ctx->holding && ngx_http_smesec_keep(r, ctx, b, len) != NGX_OK) {
            return NGX_ERROR;
        }
        if (last) {
            ctx->watching = 0;
        }
        if (ctx->holding && (last || ctx->hold == 0)) {
            /* What comes after is watched when it comes; this chain has no more that was not seen. */
            ngx_chain_t *rest = link->next;
            if (rest == NULL) {
                return ngx_http_smesec_release(r, ctx, NULL);
            }
            ngx_int_t rc = ngx_http_smesec_release(r, ctx, NULL);
            return rc == NGX_ERROR || rc > NGX_OK ? rc : ngx_http_smesec_body_filter(r, rest);
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
