module gatepass/clients/go

go 1.19
