// SPDX-License-Identifier: Apache-2.0
#include "cell/control.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace cloister::cell::control {
namespace {

struct Header {
  u32 magic = kMagic;
  u16 type = 0;  // index in Message
  u16 size = 0;  // of what follows
};

template <std::size_t I>
std::optional<Message> decode_as(std::span<const std::byte> body) {
  using Type = std::variant_alternative_t<I, Message>;
  static_assert(std::is_trivially_copyable_v<Type> && sizeof(Type) + sizeof(Header) <= kMostBytes);
  // A structure with padding would carry bytes of this process to the other.
  static_assert(std::has_unique_object_representations_v<Type>);
  if (body.size() != sizeof(Type)) return std::nullopt;
  Type value;
  std::memcpy(&value, body.data(), sizeof value);
  return Message(std::in_place_index<I>, value);
}

template <std::size_t... I>
std::optional<Message> decode_type(std::size_t type, std::span<const std::byte> body,
                                   std::index_sequence<I...>) {
  using Decoder = std::optional<Message> (*)(std::span<const std::byte>);
  constexpr Decoder kDecoders[] = {decode_as<I>...};
  return type < sizeof...(I) ? kDecoders[type](body) : std::nullopt;
}

bool plausible(const Message& message) {
  if (const auto* hashes = std::get_if<Hashes>(&message)) return hashes->count <= kMostHashes;
  if (const auto* share = std::get_if<Share>(&message)) return share->count <= kMostOffers;
  if (const auto* back = std::get_if<Unshared>(&message)) return back->count <= kMostFrames;
  if (const auto* power = std::get_if<Power>(&message)) return power->what <= PowerOrder::kStop;
  if (const auto* standing = std::get_if<Standing>(&message))
    return standing->state <= static_cast<u32>(policy::memory::HostState::kLow);
  return true;
}

}  // namespace

std::vector<std::byte> encode(const Message& message) {
  return std::visit(
      [&](const auto& value) {
        const Header header{kMagic, static_cast<u16>(message.index()), static_cast<u16>(sizeof value)};
        std::vector<std::byte> packet(sizeof header + sizeof value);
        std::memcpy(packet.data(), &header, sizeof header);
        std::memcpy(packet.data() + sizeof header, &value, sizeof value);
        return packet;
      },
      message);
}

std::optional<Message> decode(std::span<const std::byte> packet) {
  Header header;
  if (packet.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, packet.data(), sizeof header);
  if (header.magic != kMagic || header.size != packet.size() - sizeof header) return std::nullopt;
  auto message = decode_type(header.type, packet.subspan(sizeof header),
                             std::make_index_sequence<std::variant_size_v<Message>>());
  if (!message || !plausible(*message)) return std::nullopt;
  return message;
}

std::string text_of(const char (&field)[kReasonBytes]) {
  std::string text(field, ::strnlen(field, kReasonBytes));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

void set_text(char (&field)[kReasonBytes], std::string_view text) {
  std::memset(field, 0, kReasonBytes);
  std::memcpy(field, text.data(), std::min(text.size(), kReasonBytes - 1));
}

}  // namespace cloister::cell::control
