#include "client/trainctl/printer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/trainctl/yaml_writer.h"
#include "proto/json/names.h"

namespace trainyard::trainctl {

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {}

void Table::AddRow(std::vector<Cell> row) {
  row.resize(header_.size());
  for (Cell& cell : row) {
    cell.text = cell.text.empty() ? "-" : Printable(cell.text);
  }
  rows_.push_back(std::move(row));
}

std::string Table::Format(bool colour) const {
  std::vector<size_t> widths;
  for (const std::string& name : header_) widths.push_back(DisplayWidth(name));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
    }
  }
  std::string text;
  const auto add_row = [&](const std::vector<Cell>& row) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text,
                      colour ? Paint(row[i].text, row[i].colour) : row[i].text);
      if (i + 1 < row.size()) {
        text.append(widths[i] - DisplayWidth(row[i].text) + 2, ' ');
      }
    }
    text += '\n';
  };
  std::vector<Cell> header;
  for (const std::string& name : header_)
    header.push_back({name, Colour::kDim});
  add_row(header);
  for (const auto& row : rows_) add_row(row);
  return text;
}

std::string FormatJson(const Json& json, OutputFormat format) {
  if (format == OutputFormat::kYaml) return WriteYaml(json);
  // Names from outside may be anything: never throw over them.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string FormatJsonItem(const Json& json, OutputFormat format) {
  if (format == OutputFormat::kYaml) {
    return absl::StrCat("---\n", WriteYaml(json));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Cell StateCell(v1::Job::State state) {
  static constexpr Colour kColours[] = {
      Colour::kNone,  Colour::kYellow, Colour::kBlue,   Colour::kBlue,
      Colour::kGreen, Colour::kRed,    Colour::kMagenta};
  const bool known = state >= 0 && state <= v1::Job::STATE_CANCELLED;
  return {EnumText(*v1::Job::State_descriptor(), state),
          known ? kColours[state] : Colour::kNone};
}

std::string EnumText(const google::protobuf::EnumDescriptor& type, int number) {
  if (number == 0) return "-";
  const auto* value = type.FindValueByNumber(number);
  return value == nullptr ? absl::StrCat(number) : ShortEnumName(*value);
}

std::string TimeText(const google::protobuf::Timestamp& time,
                     absl::TimeZone zone) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", ToTime(time), zone);
}

bool PaintsOut(const Console& console) {
  return console.colour && console.out_is_terminal;
}

}  // namespace trainyard::trainctl
