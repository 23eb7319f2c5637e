"""The gateways that tests run, or stand in for, by the names of their pages."""

from tests.support.gateways.apache import APACHE
from tests.support.gateways.apisix import APISIX
from tests.support.gateways.caddy import CADDY
from tests.support.gateways.envoy import ENVOY, ENVOY_GRPC
from tests.support.gateways.haproxy import HAPROXY
from tests.support.gateways.ingress_nginx import INGRESS_NGINX
from tests.support.gateways.kong import KONG
from tests.support.gateways.nginx import NGINX
from tests.support.gateways.traefik import TRAEFIK

GATEWAYS = {
    each.name: each
    for each in (
        NGINX,
        INGRESS_NGINX,
        CADDY,
        TRAEFIK,
        ENVOY,
        ENVOY_GRPC,
        HAPROXY,
        APACHE,
        KONG,
        APISIX,
    )
}
