// Turns Prometheus' answers into the data frames that Grafana's panels take, with each
// field's configuration as the dashboard has it.
import {
  createTheme, FieldType, getDisplayProcessor, getFieldDisplayName, standardTransformers, standardTransformersRegistry,
  toDataFrame, transformDataFrame, type DataFrame, type Field,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

export const theme = createTheme({ colors: { mode: 'dark' } });

export interface Series {
  metric: Record<string, string>;
  values?: Array<[number, string]>;
  value?: [number, string];
}
export interface PanelData {
  panel: any;
  answers: Series[][]; // one for each target
}

standardTransformersRegistry.setInit(() => [
  { ...standardTransformers.mergeTransformer } as any,
  { ...standardTransformers.organizeFieldsTransformer } as any,
].map((transformation) => ({ id: transformation.id, name: transformation.id, transformation: async () => transformation,
  imageDark: '', imageLight: '', editor: undefined as any })) as any);

// What cannot be drawn is a gap, as in Grafana.
const number = (text: string) => (Number.isFinite(Number(text)) ? Number(text) : null);

// {{label}} in a target's legend.
function legendOf(format: string, labels: Record<string, string>): string {
  if (format !== '__auto') {
    return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
  }
  return Object.entries(labels).map(([key, value]) => `${key}="${value}"`).join(', ') || 'Value';
}

function curve(target: any, series: Series, step: number): DataFrame {
  const values = series.values ?? [series.value!];
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: values.map(([at]) => at * 1000), config: { interval: step * 1000 } },
      {
        name: 'Value', type: FieldType.number, labels: series.metric, values: values.map(([, text]) => number(text)),
        config: { displayNameFromDS: legendOf(target.legendFormat, series.metric) },
      },
    ],
  });
}

function tableOf(target: any, answer: Series[], several: boolean): DataFrame {
  const labels = [...new Set(answer.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: answer.map(() => 0) },
      ...labels.map((label) => ({
        name: label, type: FieldType.string, values: answer.map(({ metric }) => metric[label] ?? ''),
      })),
      {
        name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number,
        values: answer.map(({ value }) => number(value![1])),
      },
    ],
  });
}

function put(object: any, path: string, value: unknown) {
  const keys = path.split('.');
  const last = keys.pop()!;
  for (const key of keys) {
    object = object[key] ??= {};
  }
  object[last] = value;
}

// The panel's defaults, then the overrides that match the field's name.
function configure(field: Field, frame: DataFrame, frames: DataFrame[], index: number, panel: any) {
  const name = getFieldDisplayName(field, frame, frames);
  const config = { ...structuredClone(panel.fieldConfig.defaults), ...field.config };
  for (const { matcher, properties } of panel.fieldConfig.overrides) {
    if (matcher.options === name) {
      properties.forEach(({ id, value }: any) => put(config, id, value));
    }
  }
  // A link needs Grafana's router; a cell looks the same without.
  field.getLinks = config.links ? () => [] : undefined;
  field.config = config;
  field.state = { ...field.state, seriesIndex: index, displayName: name };
  field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
}

export async function framesOf({ panel, answers }: PanelData, step: number): Promise<DataFrame[]> {
  let frames: DataFrame[];
  if (panel.type === 'table') {
    frames = answers.map((answer, i) => tableOf(panel.targets[i], answer, panel.targets.length > 1))
      .filter((frame) => frame.length > 0);
    frames = await lastValueFrom(transformDataFrame(panel.transformations, frames));
  } else {
    frames = answers.flatMap((answer, i) => answer.map((series) => curve(panel.targets[i], series, step)));
  }
  let index = 0;
  for (const frame of frames) {
    for (const field of frame.fields) {
      if (field.type === FieldType.time) {
        field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
      } else {
        configure(field, frame, frames, index++, panel);
      }
    }
  }
  return frames;
}
