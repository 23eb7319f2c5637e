"""The metric families of `/metrics`: type and labels."""

#: Those of every node.
FAMILIES: dict[str, tuple[str, set[str]]] = {
    "gatepass_decisions": ("counter", {"reason"}),
    "gatepass_revision": ("gauge", set()),
    "gatepass_nodes": ("gauge", {"state"}),
    "gatepass_node_revision": ("gauge", {"id", "kind", "name"}),
    "gatepass_node_vouched_seconds": ("gauge", {"id", "kind", "name"}),
    "gatepass_receipts_open": ("gauge", set()),
    "gatepass_history_shortened": ("counter", set()),
    "gatepass_mails_waiting": ("gauge", set()),
    "gatepass_mails_failing": ("gauge", set()),
    "gatepass_mail_oldest_seconds": ("gauge", set()),
    "gatepass_webhook_deliveries_waiting": ("gauge", set()),
    "gatepass_webhook_deliveries_failing": ("gauge", set()),
    "gatepass_webhook_oldest_seconds": ("gauge", set()),
    "gatepass_webhooks_paused": ("gauge", set()),
    "gatepass_database_up": ("gauge", set()),
    "gatepass_ready": ("gauge", set()),
    "gatepass_node_decisions": ("counter", {"reason"}),
    "gatepass_decision_duration_seconds": ("histogram", {"endpoint", "le"}),
    "gatepass_http_request_duration_seconds": ("histogram", {"method", "route", "status", "le"}),
    "gatepass_sign_in_failures": ("counter", {"kind"}),
    "gatepass_misconfigurations": ("counter", {"kind"}),
    "gatepass_gateway_misconfigured": ("counter", set()),
    "gatepass_worker_exits": ("counter", {"role"}),
    "gatepass_feed_followers": ("gauge", set()),
    "gatepass_build_info": ("gauge", {"version"}),
    "process_cpu_seconds": ("counter", set()),
    "process_start_time_seconds": ("gauge", set()),
    "process_resident_memory_bytes": ("gauge", set()),
}
#: Those of nodes whose grants are a copy, of a database on PostgreSQL.
OF_A_COPY: dict[str, tuple[str, set[str]]] = {
    "gatepass_copy_revision": ("gauge", set()),
    "gatepass_copy_lease_seconds": ("gauge", set()),
}
#: What the samples of a type have behind the family's name.
SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}
