-- Sends the requests of a file in turn, over and over; says what came of it in one line.
-- The file holds whole requests, each ended by a NUL byte.
local requests, count, at = {}, 0, 0

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    for text in file:read("*a"):gmatch("(%Z+)%z") do
        count = count + 1
        requests[count] = text
    end
    file:close()
end

function request()
    at = at % count + 1
    return requests[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status,
        latency:percentile(50), latency:percentile(99)))
end
