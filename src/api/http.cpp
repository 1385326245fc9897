// SPDX-License-Identifier: Apache-2.0
#include "api/http.h"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/version.hpp>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/os/thread.h"

namespace cloister::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Protocol = asio::local::stream_protocol;
using Code = boost::system::error_code;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string url_decode(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool coded =
        text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0;
    if (coded) {
      plain += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

void read_target(std::string_view target, Request& request) {
  const std::size_t mark = std::min(target.find('?'), target.size());
  request.path = url_decode(target.substr(0, mark));
  std::string_view rest = target.substr(std::min(mark + 1, target.size()));
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    request.query[url_decode(pair.substr(0, equals))] =
        url_decode(pair.substr(std::min(equals + 1, pair.size())));
  }
}

std::string target_of(const Request& request) {
  std::string target = request.path;
  char mark = '?';
  for (const auto& [key, value] : request.query) {
    target += mark + url_encode(key) + "=" + url_encode(value);
    mark = '&';
  }
  return target;
}

class Connection;

}  // namespace

struct HttpServer::State {
  explicit State(std::function<void(std::shared_ptr<Exchange>)> handler_) : handler(std::move(handler_)) {}
  void accept();

  std::function<void(std::shared_ptr<Exchange>)> handler;
  asio::io_context context{1};
  Protocol::acceptor acceptor{context};
  std::atomic<std::size_t> connections{0};
  os::Thread thread;
};

namespace {

// One client. Its reads and writes are in a chain of their own, so that it is on the context's thread only;
// what others want done is posted there.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Protocol::socket socket, std::function<void(std::shared_ptr<Exchange>)>& handler,
             std::atomic<std::size_t>& connections)
      : socket_(std::move(socket)), handler_(handler), connections_(connections) {
    ++connections_;
  }
  ~Connection() { --connections_; }

  void read();
  void answer(Response response);
  void begin_stream(const std::string& type);
  void send(std::string piece);
  bool closed() const { return closed_; }
  template <typename Call>
  void post(Call call) {
    asio::post(socket_.get_executor(), [self = shared_from_this(), call = std::move(call)] { call(*self); });
  }

 private:
  void on_request();
  void write_next();
  void watch_for_end();
  void close();

  Protocol::socket socket_;
  std::function<void(std::shared_ptr<Exchange>)>& handler_;
  std::atomic<std::size_t>& connections_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::deque<std::string> pieces_;
  std::size_t waiting_ = 0;  // bytes in pieces_
  std::array<char, 256> ignored_;
  std::atomic<bool> closed_{false};
};

class OneExchange final : public Exchange {
 public:
  OneExchange(std::shared_ptr<Connection> connection, Request request)
      : connection_(std::move(connection)), request_(std::move(request)) {}

  const Request& request() const override { return request_; }
  void answer(Response response) override {
    connection_->post([response = std::move(response)](Connection& c) { c.answer(response); });
  }
  void begin_stream(const std::string& type) override {
    connection_->post([type](Connection& c) { c.begin_stream(type); });
  }
  void send(std::string piece) override {
    connection_->post([piece = std::move(piece)](Connection& c) { c.send(piece); });
  }
  bool closed() const override { return connection_->closed(); }

 private:
  std::shared_ptr<Connection> connection_;
  Request request_;
};

void Connection::read() {
  parser_.emplace();
  parser_->body_limit(HttpServer::kMostBody);
  http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](Code code, std::size_t) {
    if (code == http::error::body_limit) {
      return self->answer(
          {413, "application/json", R"({"fault_message": "the request is over 1 MiB; send less"})"});
    }
    if (code) return self->close();
    self->on_request();
  });
}

void Connection::on_request() {
  const auto& message = parser_->get();
  Request request;
  request.method = std::string(message.method_string());
  request.body = message.body();
  read_target({message.target().data(), message.target().size()}, request);
  handler_(std::make_shared<OneExchange>(shared_from_this(), std::move(request)));
}

void Connection::answer(Response response) {
  const bool nothing = response.status == 200 && response.body.empty();
  response_ =
      http::response<http::string_body>(static_cast<http::status>(nothing ? 204 : response.status), 11);
  response_.set(http::field::server, "cloisterd");
  if (!nothing) response_.set(http::field::content_type, response.type);
  response_.keep_alive(parser_ && parser_->get().keep_alive());
  response_.body() = std::move(response.body);
  response_.prepare_payload();
  if (nothing) response_.erase(http::field::content_length);
  http::async_write(socket_, response_, [self = shared_from_this()](Code code, std::size_t) {
    if (code || !self->response_.keep_alive()) return self->close();
    self->read();
  });
}

// Ended by closing the connection: each piece goes as it is.
void Connection::begin_stream(const std::string& type) {
  send("HTTP/1.1 200 OK\r\nServer: cloisterd\r\nContent-Type: " + type +
       "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
  watch_for_end();
}

void Connection::watch_for_end() {
  socket_.async_read_some(asio::buffer(ignored_), [self = shared_from_this()](Code code, std::size_t) {
    if (code) return self->close();
    self->watch_for_end();
  });
}

void Connection::send(std::string piece) {
  if (closed_ || piece.empty()) return;
  waiting_ += piece.size();
  if (waiting_ > Exchange::kMostWaiting) return close();
  pieces_.push_back(std::move(piece));
  if (pieces_.size() == 1) write_next();
}

void Connection::write_next() {
  asio::async_write(socket_, asio::buffer(pieces_.front()),
                    [self = shared_from_this()](Code code, std::size_t) {
                      if (code) return self->close();
                      self->waiting_ -= self->pieces_.front().size();
                      self->pieces_.pop_front();
                      if (!self->pieces_.empty()) self->write_next();
                    });
}

void Connection::close() {
  closed_ = true;
  Code ignored;
  socket_.shutdown(Protocol::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

Result<Protocol::socket> connect(asio::io_context& context, const std::string& path) {
  Protocol::socket socket(context);
  Code code;
  socket.connect(Protocol::endpoint(path), code);
  if (code)
    return error("no daemon answers on '{}' ({}); start cloisterd, or name its socket with --socket", path,
                 code.message());
  return socket;
}

Result<void> send_request(Protocol::socket& socket, const Request& request) {
  http::request<http::string_body> message(http::string_to_verb(request.method), target_of(request), 11);
  message.set(http::field::host, "localhost");
  message.keep_alive(false);
  if (!request.body.empty()) message.set(http::field::content_type, "application/json");
  message.body() = request.body;
  message.prepare_payload();
  Code code;
  http::write(socket, message, code);
  if (code) return error("the daemon does not take the request: {}", code.message());
  return {};
}

std::string fault_in(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("fault_message") && json["fault_message"].is_string()) {
    return json["fault_message"].get<std::string>();
  }
  return body;
}

}  // namespace

// A connection too many waits in the host's queue until another ends... which would be for ever with streams:
// so it is closed at once.
void HttpServer::State::accept() {
  acceptor.async_accept([this](Code code, Protocol::socket socket) {
    if (code == asio::error::operation_aborted) return;
    if (!code && connections < kMostConnections) {
      std::make_shared<Connection>(std::move(socket), handler, connections)->read();
    }
    accept();
  });
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(
    os::Fd listener, std::function<void(std::shared_ptr<Exchange>)> handler) {
  auto state = std::make_unique<State>(std::move(handler));
  Code code;
  state->acceptor.assign(Protocol(), listener.get(), code);
  if (code) return error("the API's socket cannot be served: {}", code.message());
  (void)listener.release();
  state->accept();
  State& shared = *state;
  state->thread = TRY(os::Thread::start("api", [&shared] { shared.context.run(); }));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::~HttpServer() {
  state_->context.stop();
  state_->thread.join();
}

Result<Response> http_call(const std::string& socket_path, const Request& request) {
  asio::io_context context;
  Protocol::socket socket = TRY(connect(context, socket_path));
  TRY(send_request(socket, request));
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(u64{256} << 20);
  Code code;
  http::read(socket, buffer, parser, code);
  if (code) return error("the daemon ended before it answered: {}", code.message());
  const auto& message = parser.get();
  return Response{static_cast<int>(message.result_int()), std::string(message[http::field::content_type]),
                  message.body()};
}

Result<void> http_stream(const std::string& socket_path, const Request& request,
                         const std::function<bool(std::string_view)>& line) {
  asio::io_context context;
  Protocol::socket socket = TRY(connect(context, socket_path));
  TRY(send_request(socket, request));
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  Code code;
  http::read_header(socket, buffer, parser, code);
  if (code) return error("the daemon ended before it answered: {}", code.message());
  std::string text;
  std::array<char, 4096> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    http::read_some(socket, buffer, parser, code);
    if (code && code != http::error::need_buffer) break;
    text.append(piece.data(), piece.size() - parser.get().body().size);
    if (parser.get().result_int() != 200) continue;
    for (std::size_t end = 0; (end = text.find('\n')) != text.npos; text.erase(0, end + 1)) {
      if (!line(std::string_view(text).substr(0, end))) return {};
    }
  }
  if (parser.get().result_int() != 200) return Error{fault_in(text)};
  return {};
}

std::string url_encode(std::string_view text) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
  std::string coded;
  for (const char c : text) {
    if (kPlain.find(c) != kPlain.npos) {
      coded += c;
    } else {
      coded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return coded;
}

}  // namespace cloister::api
