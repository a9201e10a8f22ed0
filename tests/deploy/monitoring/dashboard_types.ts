// The type that each dashboard must have: Grafana's own, made strict about the panels'
// options and custom fields, which the Dashboard type leaves open.
import type { Dashboard, DataQuery, FieldConfig, Panel, RowPanel } from '@grafana/schema';
import type * as Stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as StateTimeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as Table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as TimeSeries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// As the type looks in JSON: an enum of strings is any of its values.
type Json<T> = T extends string
  ? `${T}`
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

interface Target extends DataQuery {
  expr: string;
  legendFormat: string;
  editorMode: 'code';
  instant: boolean;
  range: boolean;
  format: 'table' | 'time_series';
}

type Typed<Kind extends string, Options, Custom> = Omit<
  Json<Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets' | 'transformations' | 'datasource'>>,
  never
> & {
  type: Kind;
  title: string;
  description: string;
  datasource: { type: 'prometheus'; uid: string };
  targets: Json<Target>[];
  options: Json<Options>;
  transformations?: { id: 'merge' | 'organize'; options: object }[];
  fieldConfig: {
    defaults: Json<Omit<FieldConfig, 'custom'>> & { unit: string; custom?: Json<Custom> };
    overrides: { matcher: { id: 'byName'; options: string }; properties: { id: string; value: unknown }[] }[];
  };
};

type AnyPanel =
  | Typed<'stat', Stat.Options, never>
  | Typed<'timeseries', TimeSeries.Options, TimeSeries.FieldConfig>
  | Typed<'state-timeline', StateTimeline.Options, StateTimeline.FieldConfig>
  | Typed<'table', Table.Options, Table.FieldConfig>
  | Json<RowPanel>;

export type StrictDashboard = Json<Omit<Dashboard, 'panels'>> & { panels: AnyPanel[] };

// What must not pass; tsc fails where one of these does.
const panel = {
  id: 1,
  type: 'stat' as const,
  title: 't',
  description: 'd',
  datasource: { type: 'prometheus' as const, uid: 'u' },
  targets: [],
  fieldConfig: { defaults: { unit: 's' }, overrides: [] },
};
const options = {
  colorMode: 'value' as const,
  graphMode: 'none' as const,
  justifyMode: 'auto' as const,
  orientation: 'auto' as const,
  percentChangeColorMode: 'standard' as const,
  showPercentChange: false,
  textMode: 'value' as const,
  wideLayout: true,
  reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
};
export const right: StrictDashboard = { schemaVersion: 1, panels: [{ ...panel, options }] };
export const wrong: StrictDashboard[] = [
  // @ts-expect-error an option that is not one of the enum
  { schemaVersion: 1, panels: [{ ...panel, options: { ...options, textMode: 'values' } }] },
  // @ts-expect-error an unknown option
  { schemaVersion: 1, panels: [{ ...panel, options: { ...options, textmode: 'value' } }] },
  // @ts-expect-error an unknown kind of panel
  { schemaVersion: 1, panels: [{ ...panel, type: 'stats', options }] },
  // @ts-expect-error an unknown field of the dashboard
  { schemaVersion: 1, refreshes: '5s', panels: [] },
];
