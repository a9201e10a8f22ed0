// What commands print: tables for people, JSON and YAML for programs.
//
//   Table table({"JOB", "STATE"});
//   table.AddRow({{"jobs/1"}, {"running", Colour::kBlue}});
//   console.out << table.Format(/*colour=*/true);
//
//   console.out << FormatJson(ToJson(job), OutputFormat::kYaml);
#pragma once

#include <string>
#include <vector>

#include "client/trainctl/console.h"
#include "client/trainctl/text.h"
#include "proto/json/job_json.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::trainctl {

enum class OutputFormat { kTable, kJson, kYaml };

struct Cell {
  std::string text;  // made Printable by the table
  Colour colour = Colour::kNone;
};

// Columns as wide as their widest cell, two spaces between them.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void AddRow(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  std::string Format(bool colour) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<Cell>> rows_;
};

// kJson: indented, with a newline at the end. kYaml: as YAML, whose texts are
// quoted where they could be taken for something else. Not for kTable.
std::string FormatJson(const Json& json, OutputFormat format);
// JSON on one line; YAML as a document of its own ("---").
std::string FormatJsonItem(const Json& json, OutputFormat format);

Cell StateCell(v1::Job::State state);
// "running", "image_folder": the value's short name; "-" for the unset one.
std::string EnumText(const google::protobuf::EnumDescriptor& type, int number);
// "2024-05-01 14:00:00" in the zone.
std::string TimeText(const google::protobuf::Timestamp& time,
                     absl::TimeZone zone);

// Whether text on console.out is painted.
bool PaintsOut(const Console& console);

}  // namespace trainyard::trainctl
