// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/units.h"

// HTTP/1.1 over a unix socket: the server's side and the client's. Boost.Beast, whose headers take long to
// compile, is known to http.cpp alone.
namespace cloister::api {

struct Request {
  std::string method = "GET";
  std::string path;                          // decoded, without the query
  std::map<std::string, std::string> query;  // decoded
  std::string body;
};

struct Response {
  int status = 200;
  std::string type = "application/json";
  std::string body;  // empty: none, and 204 for 200
};

// One request, until it is answered. Any thread.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;
  // Once, unless begin_stream() was called.
  virtual void answer(Response response) = 0;
  // Instead: a body without an end, of which each piece is sent at once. The client that reads too slowly is
  // cut off (Bound: kMostWaiting bytes).
  virtual void begin_stream(const std::string& type) = 0;
  virtual void send(std::string piece) = 0;
  // The other side is gone: sending is of no use any more.
  virtual bool closed() const = 0;
  static constexpr std::size_t kMostWaiting = 1 << 20;
};

// Serves on a thread of its own: one for all connections and streams.
class HttpServer {
 public:
  // Bounds: larger requests and more connections are refused.
  static constexpr std::size_t kMostBody = 1 << 20;
  static constexpr std::size_t kMostConnections = 512;

  // `listener`: a listening unix socket. `handler` is called on the server's thread for each request.
  static Result<std::unique_ptr<HttpServer>> start(os::Fd listener,
                                                   std::function<void(std::shared_ptr<Exchange>)> handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Asks and waits for the whole answer. Refused: nobody listens on `socket`.
Result<Response> http_call(const std::string& socket, const Request& request);

// Asks, and gives each line of the answer to `line` until that returns false or the stream ends. A status
// other than 200 is an Error with the body's fault_message.
Result<void> http_stream(const std::string& socket, const Request& request,
                         const std::function<bool(std::string_view)>& line);

// Percent-encoding of one segment of a path.
std::string url_encode(std::string_view text);

}  // namespace cloister::api
